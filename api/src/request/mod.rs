//! Reads requests: conditions, body and query parameters.

mod body;
mod conditions;
mod parameters;

pub(crate) use body::{ReceivedBody, read_body};
pub(crate) use conditions::{etag, preconditions};
pub(crate) use parameters::{pairs, read_query};
