//! `dms.DocumentCache`: the bodies that readers and sinks get.
//!
//! [`upsert`] is the only writer of bodies; [`load`] and [`page_by_uuid`] read them; [`evict`] removes them.

mod read;
mod upsert;

pub use read::{CachedDocument, CachedPart, DeferredBody, evict, load, page_by_uuid};
pub use upsert::{CacheOutcome, CacheRow, SameVersion, upsert};
