//! HTTP: Ed-Fi resources, search, health and metrics.
//!
//! A thin layer between HTTP and typed requests. The `guard` admits a request, its path selects a resource type of the
//! compiled mapping (`address`), `request` reads headers, parameters and body, and one call to a [`DocumentReader`] or a
//! [`DocumentWriter`] answers it (`data`). Every error becomes a [`problem`] document with a correlation id, under which
//! the log has the details that the client does not see.
//!
//! The crate contains no SQL and makes no decision about documents. It does not authenticate: bind it to loopback. It
//! refuses what web pages of other sites make a browser send there (`same_site`). Files
//! depend downwards: `routes` on handlers, handlers on `state`, `state` on `backend`, `copy_wait` and `options`.
//!
//! A write belongs to the process, not to its connection: it continues when the client disconnects, and a shutdown waits
//! for it ([`serve()`]).
//!
//! | address | methods and responses |
//! |---|---|
//! | `/data/{project}/{endpoint}` | `GET` a page, `POST` one document (201 or 200, `Location`, `ETag`) |
//! | `/data/{project}/{endpoint}/{id}` | `GET` (`ETag`, 304), `PUT` (204, `ETag`), `DELETE` (204) |
//! | `/search/{project}/{endpoint}` | `GET` a page of search results, if search is configured (`docs/reference/search.md`) |
//! | `/` | version, schema and addresses |
//! | `/health`, `/health/ready` | liveness; readiness with its checks |
//! | `/metrics` | Prometheus text format |
//!
//! Pages are ordered by creation. `limit` (default 25, at most 500) and `offset` select a page, `totalCount=true` adds the
//! header `Total-Count`, every other parameter is a query field. A full page carries the header `Next-Page-Token`; passed as
//! `pageToken`, it continues after that page, with the same filters and any `limit`, at the same cost at any depth. Documents
//! that exist during the whole walk are returned exactly once. A page without that header is the last.
//!
//! With the header `X-Millstream-Min-Version: V` a response shows everything up to that version or is 503: reads of `/data`
//! are always current, a search waits for its copy ([`CopyWait`]).

mod address;
mod backend;
mod client_stream;
mod connections;
mod copy_wait;
mod data;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod guard;
mod links;
mod media;
pub mod metrics;
mod min_version;
mod options;
mod origin;
pub mod problem;
mod request;
mod routes;
mod same_site;
mod search;
mod server;
mod state;
mod status;

pub use backend::{DocumentReader, DocumentWriter, StoreReader};
pub use copy_wait::{CopyWait, ReadCopy, WaitError, Waited};
pub use options::{ApiOptions, PublicUrl, PublicUrlError, ServerOptions};
pub use routes::router;
pub use server::{Drained, serve, serve_status};
pub use state::{Api, ApiParts, Check, Extras, MetricsText, Probe, SearchParts, StatusParts};
