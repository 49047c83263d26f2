//! The cascade: what a changed identity does to the documents that embed it.

mod page;
mod worker;

pub use page::{CascadePage, work_off_page};
pub(crate) use worker::work;
