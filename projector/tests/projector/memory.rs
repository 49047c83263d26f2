//! ISOLATED: what is rebuilt and delivered is bounded by bytes, and a document that does not fit waits alone.

use super::delivery::{District, held};
use super::support::{ATTEMPTS_MAX, Bed, DEADLINE};
use millstream_pipeline::Backoff;
use millstream_pipeline::memory::MemoryBudget;
use millstream_pipeline::sink::MemorySink;
use millstream_projector::Projector;
use millstream_testkit::wait_until;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

const KIB: usize = 1 << 10;

/// A student with so many other names.
fn student(number: usize, names: usize) -> Value {
    let names: Vec<Value> = (0..names).map(|name| json!({"otherName": format!("Name {name}")})).collect();
    json!({"studentUniqueId": format!("S-{number}"), "firstName": "Ada", "lastSurname": "Abara",
           "birthData": {"birthDate": "2014-01-01"}, "otherNames": names})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_larger_than_memory_is_rebuilt_in_parts_and_one_that_never_fits_is_quarantined_alone() {
    let bed = Bed::new().await;
    let mut sound = Vec::new();
    for number in 0..40 {
        // A few KiB of rows each; some exceed a part by themselves.
        sound.push(bed.post("students", student(number, if number % 10 == 0 { 800 } else { 30 })).await);
    }
    let huge = bed.post("students", student(99, 3_000)).await;
    let mut deps = bed.polled();
    deps.memory = MemoryBudget::new(512 * KIB);
    deps.options.poison_backoff = Backoff { base: Duration::from_millis(1), ceiling: Duration::from_millis(4) };
    let (queue, memory) = (Arc::clone(&deps.queue), deps.memory.clone());
    let projector = Projector::start(deps);
    for student in &sound {
        bed.wait_cached(student.uuid, student.version).await;
    }
    wait_until("the huge document to be in quarantine", DEADLINE, || async {
        projector.status().await.expect("a status").queue.quarantined == 1
    })
    .await;
    assert_eq!(bed.cached(huge.uuid).await, None);
    let quarantined = queue.quarantined(None, 10).await.expect("the quarantine can be listed");
    assert_eq!((quarantined[0].work.document_uuid, quarantined[0].work.attempts), (huge.uuid, ATTEMPTS_MAX));
    assert!(quarantined[0].reason.contains("memory.budget_mib"), "{}", quarantined[0].reason);
    projector.stop(DEADLINE).await.expect("it stops in time");
    assert_eq!(memory.in_flight(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_larger_than_memory_goes_in_parts_and_one_that_never_fits_is_quarantined_alone() {
    let mut district = District::new().await;
    let mut sound: Vec<Uuid> = Vec::new();
    for number in 0..30 {
        sound.push(district.bed.post("students", student(number, if number % 10 == 0 { 200 } else { 20 })).await.uuid);
    }
    let huge = district.bed.post("students", student(99, 4_000)).await.uuid;
    district.bed.wait_converged().await;
    district.memory = MemoryBudget::new(32 * KIB);
    let sink = Arc::new(MemorySink::default());
    let lane = district.lane("search").await;
    let client = district.bed.db().get().await.expect("a connection");
    let rows = client.query(r#"SELECT * FROM "dms"."DocumentCache""#, &[]).await.expect("rows");
    let work = rows.iter().map(|row| {
        let (id, uuid, key) = (row.get("DocumentId"), row.get("DocumentUuid"), row.get("ResourceKeyId"));
        millstream_pipeline::queue::Work::of_row(id, uuid, key, row.get("ContentVersion"), false, 0)
    });
    lane.put(work.collect(), None).await.expect("enqueued");
    let worker = district.worker("search", Arc::<MemorySink>::clone(&sink)).await;
    wait_until("the huge document to be in quarantine", DEADLINE, || async {
        let stats = lane.stats().await.expect("counters");
        (stats.depth, stats.quarantined) == (0, 1)
    })
    .await;
    let quarantined = lane.quarantined(None, 10).await.expect("the quarantine can be listed");
    assert_eq!(quarantined[0].work.document_uuid, huge);
    assert!(quarantined[0].reason.contains("memory.budget_mib"), "{}", quarantined[0].reason);
    let held = held(&*sink).await;
    assert!(sound.iter().all(|uuid| held.contains_key(uuid)) && !held.contains_key(&huge), "{}", held.len());
    worker.stop(DEADLINE).await.expect("it stops");
    assert_eq!(district.memory.in_flight(), 0);
    district.projector.stop(DEADLINE).await.expect("it stops");
}
