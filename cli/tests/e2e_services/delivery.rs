//! From a lane to the indexes through a courier, with everything going wrong on the way: nothing is dropped, and what is
//! refused for good waits alone.

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

const WITHIN: Duration = Duration::from_secs(60);
/// More than one document can meet of the faults, so that only what is refused each time gets there.
const ATTEMPTS_MAX: u32 = 12;
const DOCUMENTS: i64 = 300;
const POISON: i64 = 77;

/// A database with cached documents, a lane, and a courier through a proxy.
struct Town {
    database: TestDatabase,
    lane: Arc<MemoryQueue>,
    sink: Arc<dyn Sink>,
    proxy: HttpFaultProxy,
    courier: DeliveryWorkerHandle,
}

impl Town {
    async fn new() -> Self {
        let database = World::fixtures().database().await;
        let node = OpenSearchNode::shared().await;
        let proxy = HttpFaultProxy::start(node.address()).await;
        let answer_timeout = Duration::from_secs(1);
        let options = OpenSearchOptions { answer_timeout, ..options(&proxy.url(), &new_prefix()) };
        let (_, sink) = open(options).await;
        let lane = Arc::new(MemoryQueue::new(Arc::new(SystemClock), ATTEMPTS_MAX));
        let ms = Duration::from_millis;
        let courier = DeliveryWorker::start(DeliveryWorkerDeps {
            name: "search".to_owned(),
            lane: Arc::<MemoryQueue>::clone(&lane),
            sink: Arc::clone(&sink),
            database: database.database().clone(),
            clock: Arc::new(SystemClock),
            options: DeliveryWorkerOptions {
                poison_backoff: Backoff { base: ms(5), ceiling: ms(20) },
                outage_backoff: Backoff { base: ms(5), ceiling: ms(20) },
                uncached_pause: ms(5),
                ..DeliveryWorkerOptions::default()
            },
        });
        Self { database, lane, sink, proxy, courier }
    }

    async fn execute(&self, sql: &str) {
        let client = self.database.database().get().await.expect("a connection");
        // Bodies and tombstones alone: what they are made of is not the matter here.
        client.batch_execute("SET session_replication_role = replica").await.expect("as superuser");
        client.batch_execute(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    }

    /// All documents at a version; one of them cannot be indexed.
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

    /// The first few are deleted.
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
            let stats = self.lane.stats().await.expect("figures");
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

/// A fault of every kind, one bulk after the other, so many times; then none.
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
                // A third of the items was not carried out after all, so the node says.
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

/// So many bulks are refused in turn with 429 and 503.
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
async fn whatever_goes_wrong_nothing_is_dropped_and_poison_waits_alone() {
    let town = Town::new().await;
    town.proxy.set(all_kinds(48));
    town.write(10, true).await;
    town.wait_settled(1).await;
    town.proxy.set(all_kinds(24));
    town.write(11, true).await;
    town.wait_settled(1).await;
    // Not with an answer that is lost: what was put before such a one may still come for half a minute, and the courier
    // deletes it once more then.
    town.proxy.set(busy(6));
    town.delete(20, 12).await;
    town.wait_settled(1).await;
    town.proxy.restore();

    let quarantined = town.lane.quarantined(None, 10).await.expect("a list");
    assert_eq!(quarantined.len(), 1, "{quarantined:?}");
    assert_eq!(quarantined[0].work.document_uuid, uuid_of(POISON));
    assert!(quarantined[0].reason.contains("districtId"), "{:?}", quarantined[0].reason);
    let expected = (20..DOCUMENTS).filter(|number| *number != POISON).map(|number| (uuid_of(number), 11));
    assert_eq!(town.versions().await, expected.collect::<BTreeMap<_, _>>());
    let report = town.courier.status().await.expect("a status");
    println!("delivered {}, retried {}, rejected {}", report.delivered, report.retried, report.rejected);
    assert!(report.retried > 0, "{report:#?}");

    // A newer version that can be indexed clears it by itself.
    town.write(13, false).await;
    town.wait_settled(0).await;
    assert_eq!(town.versions().await.get(&uuid_of(POISON)), Some(&13));
    town.courier.stop(WITHIN).await.expect("it stops");
}
