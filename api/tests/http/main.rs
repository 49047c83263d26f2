//! HTTP semantics, without a database: what each request gets, through the router and over the wire.

mod bodies;
mod collections;
mod failures;
mod fakes;
mod hostile;
mod items;
mod operations;
mod routing;
mod search;
mod search_page;
mod server;
mod wire;
