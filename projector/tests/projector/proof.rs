//! Comparing sinks with the cache: every kind of difference is found, and repaired where possible.

use super::delivery::{District, held};
use super::sink_manager::{Maps, manager};
use super::support::DEADLINE;
use bytes::Bytes;
use futures::future::BoxFuture;
use millstream_pipeline::clock::SystemClock;
use millstream_pipeline::memory::MemoryBudget;
use millstream_pipeline::queue::Work;
use millstream_pipeline::sink::{
    Content, Delivery, DocumentKey, Held, Limits, MemorySink, Outcome, Scan, Sink, SinkError,
};
use millstream_projector::delivery::deliverable;
use millstream_projector::proof::{FindingKind, prove};
use millstream_projector::sink_manager::backfill;
use millstream_store::connect::Database;
use millstream_testkit::wait_until;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use uuid::Uuid;

/// Every kind of difference is found and repaired through the lane; a newer version is only reported.
#[tokio::test(flavor = "multi_thread")]
async fn a_sink_is_proven_and_repaired() {
    let district = District::new().await;
    let room = district.bed.homeroom(6).await;
    let maps = Maps::of(&["search"]);
    let manager = manager(&district, &maps).await;
    manager.add("search", Some(backfill(None))).await.expect("it is added");
    let sink = maps.get("search");
    district.wait_equal(&*sink).await;
    let proven = async || {
        prove(district.bed.db(), &MemoryBudget::default(), &*sink, &SystemClock, &mut |_| {}).await.expect("a report")
    };
    let clean = proven().await;
    assert_eq!((clean.differences(), clean.compared, clean.behind), (0, 15, 0), "{clean:?}");

    let [altered, undeleted, newer] = [room.enrolments[0], room.enrolments[1], room.enrolments[2]];
    let versions = held(&*sink).await;
    let key = |uuid| DocumentKey { uuid, resource_key: 1 };
    let damage = |uuid: Uuid, version: i64| {
        let json = format!(r#"{{"id":"{uuid}","_etag":"{version}","damaged":true}}"#);
        Delivery { key: key(uuid), version, content: Content::Document(Bytes::from(json)), repair: true }
    };
    let gone = district.bed.delete("studentSchoolAssociations", undeleted).await;
    district.wait_equal(&*sink).await;
    let extra = Uuid::from_u128(0xE);
    let deliveries = [
        damage(altered, versions[&altered]),
        // Above the delete: a copy of a database that was restored afterwards.
        damage(undeleted, gone.version + 50),
        damage(newer, versions[&newer] + 1_000),
        damage(extra, 5),
    ];
    sink.put(&deliveries).await;
    let report = proven().await;
    let kinds: BTreeMap<Uuid, FindingKind> = report.findings.iter().map(|found| (found.uuid, found.kind)).collect();
    let expected = [
        (altered, FindingKind::Altered),
        (undeleted, FindingKind::Undeleted),
        (newer, FindingKind::Newer),
        (extra, FindingKind::Extra),
    ];
    assert_eq!(kinds, expected.into_iter().collect(), "{report:#?}");

    let (lane, _) = manager.get("search").await.expect("a lane");
    let mending: Vec<_> = report.findings.iter().filter_map(|found| found.mending(0)).collect();
    assert_eq!(mending.len(), 3);
    lane.put(mending, None).await.expect("it is enqueued");
    wait_until("the lane to be empty", DEADLINE, || async { lane.stats().await.expect("counters").depth == 0 }).await;
    let left = proven().await;
    assert_eq!(left.counts, BTreeMap::from([(FindingKind::Newer, 1)]), "{left:#?}");
    manager.stop(DEADLINE).await.expect("it stops");
}

/// An entry of an existing document.
fn entry_of(document_id: i64) -> Work {
    Work {
        document_id,
        document_uuid: Uuid::nil(),
        resource_key: 1,
        version: 1,
        xid: 0,
        history: 0,
        deleted: false,
        rebuild: true,
        cascade: false,
        repair: false,
        low_priority: false,
        attempts: 0,
        first_enqueued_at_ms: 0,
        not_before_ms: 0,
    }
}

/// A document that the sink never got, and one that it got before the last edit.
#[tokio::test(flavor = "multi_thread")]
async fn a_sink_that_lags_is_reported() {
    let district = District::new().await;
    let room = district.bed.homeroom(4).await;
    district.bed.wait_converged().await;
    let sink = MemorySink::default();
    let client = district.bed.db().get().await.expect("a connection");
    let sql = r#"SELECT "DocumentId" FROM "dms"."DocumentCache" ORDER BY 1"#;
    let ids: Vec<i64> = client.query(sql, &[]).await.expect("rows").iter().map(|row| row.get(0)).collect();
    let [stale, missing] = [room.enrolments[0], room.enrolments[1]];
    for id in ids {
        let now = deliverable(district.bed.db(), &entry_of(id)).await.expect("it reads").expect("it is cached");
        match now.key.uuid {
            uuid if uuid == missing => {}
            uuid if uuid == stale => drop(sink.put(&[Delivery { version: now.version - 1, ..now }]).await),
            _ => drop(sink.put(&[now]).await),
        }
    }
    let report =
        prove(district.bed.db(), &MemoryBudget::default(), &sink, &SystemClock, &mut |_| {}).await.expect("a report");
    let kinds: BTreeMap<Uuid, FindingKind> = report.findings.iter().map(|found| (found.uuid, found.kind)).collect();
    assert_eq!(kinds, BTreeMap::from([(stale, FindingKind::Stale), (missing, FindingKind::Missing)]), "{report:#?}");
}

/// A sink that holds far more than the cache is compared page by page, every page once.
#[tokio::test(flavor = "multi_thread")]
async fn a_sink_with_thousands_of_others_is_compared_in_pages() {
    const OTHERS: u128 = 3_500;
    let district = District::new().await;
    district.bed.homeroom(5).await;
    let maps = Maps::of(&["search"]);
    let manager = manager(&district, &maps).await;
    manager.add("search", Some(backfill(None))).await.expect("it is added");
    let sink = maps.get("search");
    district.wait_equal(&*sink).await;
    for number in 0..OTHERS {
        // Spread over all ids, so that they lie between those of the cache.
        let uuid = Uuid::from_u128(number * (u128::MAX / OTHERS) + 1);
        let content = Content::Document(Bytes::from(format!(r#"{{"id":"{uuid}","_etag":"1"}}"#)));
        sink.put(&[Delivery { key: DocumentKey { uuid, resource_key: 1 }, version: 1, content, repair: false }]).await;
    }
    let report =
        prove(district.bed.db(), &MemoryBudget::default(), &*sink, &SystemClock, &mut |_| {}).await.expect("a report");
    assert_eq!(report.counts, BTreeMap::from([(FindingKind::Extra, OTHERS as u64)]));
    assert_eq!(report.compared, 13, "{:?}", report.counts);
    manager.stop(DEADLINE).await.expect("it stops");
}

/// An empty sink that was never filled misses every document; an empty lane would not show that.
#[tokio::test(flavor = "multi_thread")]
async fn an_empty_sink_misses_every_document() {
    let district = District::new().await;
    district.bed.homeroom(3).await;
    district.bed.wait_converged().await;
    let report = prove(district.bed.db(), &MemoryBudget::default(), &MemorySink::default(), &SystemClock, &mut |_| {})
        .await
        .expect("a report");
    assert_eq!(report.counts, BTreeMap::from([(FindingKind::Missing, 9)]), "{report:#?}");
}

/// A sink whose scan looks at the database while it is being read.
struct WatchedSink {
    map: MemorySink,
    scan: WatchedScan,
}

#[derive(Clone)]
struct WatchedScan {
    database: Database,
    /// Sessions that held a transaction at some moment of the scan.
    held: Arc<AtomicU64>,
    fails: bool,
    next: u128,
}

const SCANNED: u128 = 3_000;
const OF_A_PAGE: u128 = 1_200;

impl Scan for WatchedScan {
    fn next(&mut self) -> BoxFuture<'_, Result<Vec<Held>, SinkError>> {
        Box::pin(async move {
            let client = self.database.get().await.expect("a connection");
            let sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
                       AND pid <> pg_backend_pid() AND (backend_xid IS NOT NULL OR state LIKE 'idle in%')";
            let held: i64 = client.query_one(sql, &[]).await.expect("counted").get(0);
            self.held.fetch_add(held.unsigned_abs(), Ordering::SeqCst);
            if self.fails && self.next > 0 {
                return Err(SinkError::Unavailable {
                    sink: "watched".to_owned(),
                    reason: "made for a test".to_owned(),
                });
            }
            let page = self.next..(self.next + OF_A_PAGE).min(SCANNED);
            self.next = page.end;
            let held = |number: u128| Held {
                uuid: Uuid::from_u128(number + 1),
                version: Some(1),
                resource_key: Some(1),
                content: Content::Document(Bytes::from_static(b"{}")),
            };
            Ok(page.map(held).collect())
        })
    }
}

impl Sink for WatchedSink {
    fn describe(&self) -> String {
        "watched".to_owned()
    }

    fn prepare(&self) -> BoxFuture<'_, Result<(), SinkError>> {
        self.map.prepare()
    }

    fn limits(&self) -> Limits {
        self.map.limits()
    }

    fn put<'a>(&'a self, deliveries: &'a [Delivery]) -> BoxFuture<'a, Vec<Outcome>> {
        self.map.put(deliveries)
    }

    fn fetch<'a>(&'a self, keys: &'a [DocumentKey]) -> BoxFuture<'a, Result<Vec<Option<Bytes>>, SinkError>> {
        self.map.fetch(keys)
    }

    fn scan(&self) -> BoxFuture<'_, Result<Box<dyn Scan>, SinkError>> {
        Box::pin(std::future::ready(Ok(Box::new(self.scan.clone()) as Box<dyn Scan>)))
    }
}

/// A transaction that lasted as long as the scan would stop the polling source and vacuum.
#[tokio::test(flavor = "multi_thread")]
async fn no_transaction_is_open_while_a_sink_is_read_and_nothing_is_left_afterwards() {
    let district = District::new().await;
    district.bed.homeroom(3).await;
    district.bed.wait_converged().await;
    let (database, memory) = (district.bed.db().clone(), MemoryBudget::default());
    district.projector.stop(DEADLINE).await.expect("it stops");
    for fails in [false, true] {
        let held = Arc::new(AtomicU64::new(0));
        let scan = WatchedScan { database: database.clone(), held: Arc::clone(&held), fails, next: 0 };
        let sink = WatchedSink { map: MemorySink::default(), scan };
        let report = prove(&database, &memory, &sink, &SystemClock, &mut |_| {}).await;
        match report {
            Ok(report) => assert_eq!(report.counts[&FindingKind::Extra], SCANNED as u64),
            Err(error) => assert!(fails, "{error}"),
        }
        assert_eq!(held.load(Ordering::SeqCst), 0, "sessions with a transaction during the scan");
        let left = r#"SELECT NOT EXISTS (SELECT FROM pg_class WHERE relname = 'Held')"#;
        wait_until("the copy of the sink to be gone", DEADLINE, || async {
            let client = database.get().await.expect("a connection");
            client.query_one(left, &[]).await.expect("a row").get(0)
        })
        .await;
        assert_eq!(memory.in_flight(), 0);
    }
}
