//! `/data/{project}/{endpoint}[/{id}]`: the resources.

mod collection;
mod item;
mod write;

pub(crate) use collection::collection;
pub(crate) use item::item;
