//! A transaction of any size streams through in bounded memory. Alone in its binary, because it measures the whole
//! process.

use millstream_connectors::source::slot::{LogicalOptions, LogicalSource, ensure_slot};
use millstream_pipeline::source::{ChangeSource, SourceEvent};
use millstream_testkit::World;

const ROWS: i64 = 300_000;
/// As messages and as changes, the rows above take several times as much.
const GROWTH_MAX_KIB: u64 = 24 * 1024;

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("a status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_transaction_takes_bounded_memory() {
    let database = World::fixtures().database().await;
    let options = LogicalOptions::new(database.options(), "memory");
    let origin = ensure_slot(&options).await.expect("a slot").position;
    let sql = format!(
        r#"INSERT INTO "dms"."Outbox" ("DocumentId", "DocumentUuid", "ResourceKeyId", "Kind", "ContentVersion")
           SELECT n, gen_random_uuid(), 3, 'upsert', n FROM generate_series(1::bigint, {ROWS}) AS n"#
    );
    database.session().await.batch_execute(&sql).await.expect("written");
    let before = resident_kib();
    let mut source = LogicalSource::start(options, origin, None).expect("a source");
    let mut next = 1;
    while next <= ROWS {
        if let SourceEvent::Changes(batch) = source.next().await.expect("an event") {
            for change in batch.changes {
                assert_eq!(change.document_id, next);
                next += 1;
            }
        }
    }
    let growth = resident_kib() - before;
    assert!(growth < GROWTH_MAX_KIB, "the peak grew by {growth} KiB");
    Box::new(source).shutdown().await.expect("shut down");
}
