//! HTTP semantics without a database, through the router and on the wire.

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
mod sites;
mod slow_clients;
mod wire;
