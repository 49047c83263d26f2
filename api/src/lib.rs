//! HTTP: Ed-Fi resources, health and metrics.
//!
//! What it is: a thin layer between HTTP and typed requests. A request is admitted (`edge`), its path finds a resource
//! type of the compiled mapping, its headers, parameters and body are read (`request`), and one call to a
//! [`DocumentReader`] or a [`DocumentWriter`] answers it (`data`). Whatever goes wrong becomes a [`problem`] document,
//! made in one place, with an id under which the log has what the client is not told.
//!
//! What it is not: it holds no SQL and decides nothing about documents. It does not authenticate: whoever runs it binds
//! it to loopback until credentials exist. Authorization will be a step between resolution and persistence, in a layer
//! around the routes of `data`.
//!
//! A write belongs to the process and not to its connection: a client that hangs up does not stop it, and a shutdown
//! waits for it ([`serve()`]).
//!
//! | address | answers |
//! |---|---|
//! | `/data/{project}/{endpoint}` | `GET` a page, `POST` one document (201 or 200, `Location`, `ETag`) |
//! | `/data/{project}/{endpoint}/{id}` | `GET` (`ETag`, 304), `PUT` (204, `ETag`), `DELETE` (204) |
//! | `/search/{project}/{endpoint}` | `GET` a page of what a search finds, where one is configured (`docs/search.md`) |
//! | `/` | version, schema and addresses |
//! | `/health`, `/health/ready` | the process lives; it can do its work |
//! | `/metrics` | Prometheus' text format |
//!
//! Pages are ordered by age. `limit` (25 if not given, 500 at most) and `offset` cut one out, `totalCount=true` adds the
//! header `Total-Count`, every other parameter is a query field. A full page brings the header `Next-Page-Token`: given
//! back as `pageToken` it goes on behind that page at the same cost however far that is, with the same filters and any
//! `limit`, and misses nothing and repeats nothing that was there from beginning to end. A page without that header is
//! the last.
//!
//! A read or a search with the header `X-Millstream-Min-Version: V` shows everything up to that version, or is answered
//! with 503: reads of `/data` always do, a search waits for its copy ([`CopyWait`]).

mod backend;
mod data;
mod edge;
pub mod metric;
mod options;
pub mod problem;
mod request;
mod routes;
mod search;
mod server;
mod status;

pub use backend::{DocumentReader, DocumentWriter, StoreReader};
pub use options::{ApiOptions, PublicUrl, PublicUrlError, ServerOptions};
pub use routes::{Api, ApiParts, Extras, SearchParts, StatusParts, router};
pub use search::{CopyWait, ReadCopy, WaitError, Waited};
pub use server::{Drained, serve, serve_status};
pub use status::{Check, MetricsText, Probe};
