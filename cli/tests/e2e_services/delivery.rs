//! From a lane through a delivery worker to the indexes, with faults of every kind: no entry is dropped, and only
//! documents that are refused permanently end in quarantine.

use millstream_pipeline::memory::MemoryBudget;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use millstream_connectors::sink::opensearch::OpenSearchOptions;
use millstream_pipeline::Backoff;
use millstream_pipeline::clock::SystemClock;
use millstream_pipeline::queue::{MemoryQueue, Work, WorkQueue};
use millstream_pipeline::sink::Sink;
use millstream_projector::delivery::{DeliveryWorker, DeliveryWorkerDeps, DeliveryWorkerHandle, DeliveryWorkerOptions};
use millstream_testkit::{Exchange, Fault, HttpFaultProxy, OpenSearchNode, TestDatabase, World, wait_until};
use uuid::Uuid;

use crate::opensearch::{key, new_prefix, open, options, state};
use crate::support::report;

const WITHIN: Duration = Duration::from_secs(60);
/// More than the faults that one document can meet, so that only permanently refused documents reach the limit.
const ATTEMPTS_MAX: u32 = 12;
const DOCUMENTS: i64 = 300;
const POISON: i64 = 77;

/// A database with cached documents, a lane, and a delivery worker that reaches the node through a proxy.
struct DeliveryTest {
    database: TestDatabase,
    lane: Arc<MemoryQueue>,
    sink: Arc<dyn Sink>,
    proxy: HttpFaultProxy,
    worker: DeliveryWorkerHandle,
}

impl DeliveryTest {
    async fn new() -> Self {
        let database = World::fixtures().database().await;
        let node = OpenSearchNode::shared().await;
        let proxy = HttpFaultProxy::start(node.address()).await;
        let answer_timeout = Duration::from_secs(1);
        let options = OpenSearchOptions { answer_timeout, ..options(&proxy.url(), &new_prefix()) };
        let (_, sink) = open(options).await;
        let lane = Arc::new(MemoryQueue::new(Arc::new(SystemClock), ATTEMPTS_MAX));
        let ms = Duration::from_millis;
        let worker = DeliveryWorker::start(DeliveryWorkerDeps {
            name: "search".to_owned(),
            lane: Arc::<MemoryQueue>::clone(&lane),
            sink: Arc::clone(&sink),
            database: database.database().clone(),
            memory: MemoryBudget::default(),
            clock: Arc::new(SystemClock),
            options: DeliveryWorkerOptions {
                poison_backoff: Backoff { base: ms(5), ceiling: ms(20) },
                outage_backoff: Backoff { base: ms(5), ceiling: ms(20) },
                uncached_pause: ms(5),
                ..DeliveryWorkerOptions::default()
            },
        });
        Self { database, lane, sink, proxy, worker }
    }

    async fn execute(&self, sql: &str) {
        let client = self.database.database().get().await.expect("a connection");
        // Disables foreign keys: the test writes cache rows and tombstones without the tables behind them.
        client.batch_execute("SET session_replication_role = replica").await.expect("as superuser");
        client.batch_execute(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    }

    /// Writes all documents at a version. With `poison`, one of them cannot be indexed.
    async fn write(&self, version: i64, poison: bool) {
        let (first, type_key) = (key(0).uuid, key(0).resource_key);
        let refused = if poison { POISON } else { -1 };
        self.execute(&format!(
            r#"INSERT INTO "dms"."DocumentCache" ("DocumentId", "DocumentUuid", "ResourceKeyId", "ContentVersion",
                 "LastModifiedAt", "Body", "BodyHash", "ComputedAt")
               SELECT n, (left('{first}', 24) || lpad(to_hex(n), 12, '0'))::uuid, {type_key}, {version}, now(),
                 CASE WHEN n = {refused} THEN '{{"districtId":"none"}}'
                      ELSE '{{"districtId":' || n || ',"nameOfInstitution":"at {version}"}}' END, '\x00', now()
                 FROM generate_series(0, {DOCUMENTS} - 1) n
               ON CONFLICT ("DocumentId") DO UPDATE SET "ContentVersion" = excluded."ContentVersion",
                 "Body" = excluded."Body""#
        ))
        .await;
        let work = (0..DOCUMENTS).map(|number| work(number, version, false)).collect();
        self.lane.put(work, None).await.expect("put");
    }

    /// Deletes the first `count` documents.
    async fn delete(&self, count: i64, version: i64) {
        self.execute(&format!(
            r#"INSERT INTO "dms"."Tombstone" ("DocumentUuid", "DocumentId", "ResourceKeyId", "ContentVersion", "IdentityValues", "DeletedAt")
               SELECT "DocumentUuid", "DocumentId", "ResourceKeyId", {version}, '{{}}', now() FROM "dms"."DocumentCache" WHERE "DocumentId" < {count};
               DELETE FROM "dms"."DocumentCache" WHERE "DocumentId" < {count};"#
        ))
        .await;
        let work = (0..count).map(|number| work(number, version, true)).collect();
        self.lane.put(work, None).await.expect("put");
    }

    async fn wait_settled(&self, quarantined: u64) {
        wait_until("the lane to be settled", WITHIN, || async {
            let stats = self.lane.stats().await.expect("queue statistics");
            stats.depth == 0 && stats.quarantined == quarantined
        })
        .await;
    }

    async fn versions(&self) -> BTreeMap<Uuid, i64> {
        state(&*self.sink).await.into_iter().map(|(uuid, (version, _))| (uuid, version)).collect()
    }
}

fn uuid_of(number: i64) -> Uuid {
    key(number.cast_unsigned().into()).uuid
}

fn work(number: i64, version: i64, deleted: bool) -> Work {
    Work {
        document_id: number,
        document_uuid: uuid_of(number),
        resource_key: key(0).resource_key,
        version,
        xid: 0,
        history: 0,
        deleted,
        rebuild: !deleted,
        repair: false,
        cascade: false,
        low_priority: false,
        attempts: 0,
        first_enqueued_at_ms: 0,
        not_before_ms: 0,
    }
}

/// Injects faults of all kinds in turn into the first `bulks` bulk requests.
fn all_kinds(bulks: u64) -> impl Fn(&Exchange) -> Fault + Send + Sync + 'static {
    let counter = AtomicU64::new(0);
    move |exchange| {
        if !exchange.path.starts_with("/_bulk") {
            return Fault::None;
        }
        let number = counter.fetch_add(1, Ordering::Relaxed);
        if number >= bulks {
            return Fault::None;
        }
        match number % 8 {
            0 => Fault::Refuse(429),
            1 => Fault::Reset,
            2 => Fault::Refuse(503),
            3 => Fault::Cut(500),
            4 => Fault::Shorten(300),
            5 => Fault::Rewrite(Box::new(|body| {
                // The node reports that some items failed.
                let text = String::from_utf8(body).expect("text");
                text.replacen(r#""status":201"#, r#""status":429"#, 40)
                    .replacen(r#""status":200"#, r#""status":503"#, 60)
                    .into_bytes()
            })),
            6 => Fault::Delay(Duration::from_millis(1_500)),
            _ => Fault::Refuse(502),
        }
    }
}

/// Refuses the first `bulks` bulk requests with 429 and 503 in turn.
fn busy(bulks: u64) -> impl Fn(&Exchange) -> Fault + Send + Sync + 'static {
    let counter = AtomicU64::new(0);
    move |exchange| {
        let is_bulk = exchange.path.starts_with("/_bulk");
        match is_bulk.then(|| counter.fetch_add(1, Ordering::Relaxed)) {
            Some(number) if number < bulks => Fault::Refuse(if number % 2 == 0 { 429 } else { 503 }),
            _ => Fault::None,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_drop_nothing_and_only_poison_is_quarantined() {
    let test = DeliveryTest::new().await;
    test.proxy.set(all_kinds(48));
    test.write(10, true).await;
    test.wait_settled(1).await;
    test.proxy.set(all_kinds(24));
    test.write(11, true).await;
    test.wait_settled(1).await;
    // No lost responses here: after one, an earlier write may still arrive for half a minute, and the worker would repeat
    // the delete then.
    test.proxy.set(busy(6));
    test.delete(20, 12).await;
    test.wait_settled(1).await;
    test.proxy.restore();

    let quarantined = test.lane.quarantined(None, 10).await.expect("a list");
    assert_eq!(quarantined.len(), 1, "{quarantined:?}");
    assert_eq!(quarantined[0].work.document_uuid, uuid_of(POISON));
    assert!(quarantined[0].reason.contains("districtId"), "{:?}", quarantined[0].reason);
    let expected = (20..DOCUMENTS).filter(|number| *number != POISON).map(|number| (uuid_of(number), 11));
    assert_eq!(test.versions().await, expected.collect::<BTreeMap<_, _>>());
    let status = test.worker.status().await.expect("a status");
    report!("delivered {}, retried {}, rejected {}", status.delivered, status.retried, status.rejected);
    assert!(status.retried > 0, "{status:#?}");

    // A newer version that can be indexed clears the quarantine.
    test.write(13, false).await;
    test.wait_settled(0).await;
    assert_eq!(test.versions().await.get(&uuid_of(POISON)), Some(&13));
    test.worker.stop(WITHIN).await.expect("the worker stops");
}
