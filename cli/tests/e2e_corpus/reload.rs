//! Loads the same documents twice: the second load writes no row.

use crate::exclusive;
use crate::support::running::Running;
use crate::support::snapshot::Snapshot;
use crate::support::{loaded, loading, report, tables};
use millstream_testkit::World;
use millstream_writer::WriterOptions;

const WAL_SQL: &str = "SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::int8";

async fn reload(name: &'static str, world: &'static World) {
    let _exclusive = exclusive().await;
    let (database, first) = loaded::copy(name, world).await;
    let running = Running::on(world, database.database().clone());
    let api = running.serve(WriterOptions::default()).await;
    let served = Snapshot::take(&api, running.mapping()).await;
    let tables = tables::fingerprints(&running).await;
    let wal: i64 = running.value(WAL_SQL).await;

    let second = loading::load(&api, running.mapping(), &loaded::documents(world)).await;

    let wal = running.value::<i64>(WAL_SQL).await - wal;
    report!("{} documents posted again: {wal} bytes of WAL in the whole cluster", second.len());
    for (first, second) in first.iter().zip(&second) {
        assert_eq!((first.uuid, first.etag), (second.uuid, second.etag), "{}", first.path());
        assert_eq!(second.status, 200, "{}", first.path());
    }
    assert_eq!(first.len(), second.len());
    // A fingerprint changes if a row is inserted, deleted, changed or locked.
    let after = tables::fingerprints(&running).await;
    let touched: Vec<_> = tables.iter().filter(|(name, before)| after.get(*name) != Some(before)).collect();
    assert!(touched.is_empty(), "tables were written to: {touched:?}");
    assert!(tables.len() > 20, "too few tables were compared: {tables:?}");
    served.assert_same(&Snapshot::take(&api, running.mapping()).await, "before and after the second load");
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fixtures_posted_again_write_nothing() {
    reload("fixtures-loaded", World::fixtures()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_corpus_posted_again_writes_nothing() {
    let Some(world) = World::corpus_or_skip() else { return };
    reload("corpus-loaded", world).await;
}
