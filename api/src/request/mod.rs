//! Reading what a client sent: conditions, media type, body, query parameters.

mod body;
mod conditions;
mod media;
mod parameters;

pub(crate) use body::read_body;
pub(crate) use conditions::{etag, preconditions};
pub(crate) use parameters::{pairs, read_query};
