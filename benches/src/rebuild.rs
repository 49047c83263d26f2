//! Measures how many documents per second are rebuilt from their rows, compared with binary COPY out of the same
//! tables.

use crate::failure::Failure;
use crate::setup::Setup;
use crate::{copy, table};
use millstream_schema::plan::Mapping;
use millstream_store::compose::compose_documents;
use millstream_store::connect::{Database, Session};
use millstream_store::load::{Caches, heads_after};
use millstream_store::table::cache::{self, CacheRow, SameVersion};
use std::time::{Duration, Instant};

/// Documents per snapshot: the projector's default.
const BATCH: u32 = 200;

pub(crate) async fn measure(setup: &Setup, rounds: usize) -> Result<(), Failure> {
    let options = setup.copy("rebuild").await?;
    let database = Database::connect(&options, 4).await?;
    let session = Session::open(&options).await?;
    let mapping = &setup.world.mapping;
    let mut tables: Vec<String> = mapping
        .resources
        .iter()
        .filter(|r| !r.is_descriptor)
        .flat_map(|r| r.tables.iter().map(|t| t.qualified.clone()))
        .collect();
    tables.extend(["\"dms\".\"Document\"".to_owned(), "\"dms\".\"Descriptor\"".to_owned()]);
    let count = setup.base_documents as f64;
    let (mut composed, mut stored, mut limits) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        limits.push(count / copy::drain(&session, &tables).await?.as_secs_f64());
        composed.push(count / rebuild(&database, mapping, false).await?.as_secs_f64());
        session.batch_execute("TRUNCATE \"dms\".\"DocumentCache\"").await?;
        stored.push(count / rebuild(&database, mapping, true).await?.as_secs_f64());
    }
    let limit = table::median(&limits);
    let row = |name: &str, rates: &[f64]| {
        let rate = table::median(rates);
        vec![name.to_owned(), format!("{rate:.0}"), format!("{limit:.0}"), format!("{:.2}", rate / limit)]
    };
    table::print(
        &format!("rebuilt from rows, batches of {BATCH}, one connection"),
        &["job", "documents/s", "limit: binary COPY out of the same tables, bytes dropped", "ratio"],
        &[row("read and composed", &composed), row("read, composed, written to the cache", &stored)],
    );
    drop(session);
    database.close();
    setup.remove("rebuild").await
}

/// Rebuilds all documents once, and stores them in the cache if `store` is set. Returns the duration.
async fn rebuild(database: &Database, mapping: &Mapping, store: bool) -> Result<Duration, Failure> {
    let caches = Caches::default();
    let mut client = database.get().await?;
    let writer = database.get().await?;
    let (mut after, started) = (i64::MIN, Instant::now());
    loop {
        let snapshot = client.snapshot().await?;
        let heads = heads_after(&snapshot, after, BATCH).await?;
        let Some(last) = heads.last() else { break };
        after = last.document_id;
        let composed = compose_documents(&snapshot, mapping, &caches, heads).await?;
        snapshot.commit().await?;
        if store {
            let mut rows = Vec::with_capacity(composed.len());
            for document in &composed {
                let body = document.body.as_ref().map_err(|error| error.to_string())?;
                rows.push(CacheRow { head: &document.head, body });
            }
            cache::upsert(&writer, &rows, SameVersion::Keep).await?;
        }
    }
    Ok(started.elapsed())
}
