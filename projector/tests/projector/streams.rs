//! Following another stream than before: what was stored of the first means nothing in the second.

use std::sync::Arc;

use millstream_pipeline::Position;
use millstream_pipeline::queue::WorkQueue;
use millstream_pipeline::source::{SourceError, Stream};
use millstream_projector::{Projector, Start, SystemClock, caught_up};
use millstream_testkit::wait_until;

use crate::support::{Bed, Covering, HandSource, PATIENCE};

/// Which stream is stored with the progress.
const STREAM_SQL: &str = r#"SELECT "Stream" FROM "dms"."ProjectionProgress""#;
const MARKED_SQL: &str = r#"SELECT "WatermarkLsn" IS NOT NULL FROM "dms"."ProjectionProgress""#;

/// RECOVERABLE: the position in the first stream is far beyond that in the second, and would look as if nothing followed.
#[tokio::test(flavor = "multi_thread")]
async fn another_stream_begins_with_a_comparison_and_goes_on_from_its_own_position() {
    let bed = Bed::new().await;
    let (queue, source) = (bed.queue(), HandSource::default());
    let deps = bed.deps(Arc::clone(&queue) as Arc<dyn WorkQueue>, Arc::new(source.clone()));
    let projector = Projector::start(deps.clone());
    bed.wait_followed(&*queue).await;
    source.idle(0x7000_0000);
    wait_until("the position to be safe", PATIENCE, || async { source.confirmed() == Position::before(0x7000_0000) })
        .await;
    projector.stop(PATIENCE).await.expect("it stops in time");
    assert_eq!(bed.value::<String>(STREAM_SQL).await, "slot hand");

    let missed = bed.post_student(1, "Ada").await;
    source.become_stream(Stream::topic("changes"));
    source.restart_at(0x10);
    let projector = Projector::start(deps.clone());
    bed.wait_cached(missed.uuid, missed.version).await;
    bed.wait_followed(&*queue).await;
    assert_eq!(bed.value::<String>(STREAM_SQL).await, "topic changes");
    let seen = bed.post_student(2, "Ada").await;
    let after = source.send(bed.changes(seen.uuid).await);
    bed.wait_cached(seen.uuid, seen.version).await;
    projector.stop(PATIENCE).await.expect("it stops in time");

    let projector = Projector::start(deps);
    wait_until("it to be opened again", PATIENCE, || async { source.starts().len() == 3 }).await;
    let starts = source.starts();
    assert_eq!(starts[..2], [Start::Fresh, Start::Anew], "{starts:?}");
    assert!(matches!(starts[2], Start::After { position, .. } if position == after), "{starts:?}");
    projector.stop(PATIENCE).await.expect("it stops in time");
}

/// What some sources find out only when they read.
#[tokio::test(flavor = "multi_thread")]
async fn changes_that_turn_out_to_be_lost_while_reading_are_found_by_comparison() {
    let bed = Bed::new().await;
    let (queue, source) = (bed.queue(), HandSource::default());
    let projector = Projector::start(bed.deps(Arc::clone(&queue) as Arc<dyn WorkQueue>, Arc::new(source.clone())));
    bed.wait_followed(&*queue).await;
    let lost = bed.post_student(1, "Ada").await;
    source.fail(SourceError::Lost { what: "records".to_owned(), detail: "made for a test".to_owned() });
    bed.wait_cached(lost.uuid, lost.version).await;
    assert_eq!(source.starts(), [Start::Fresh, Start::Anew]);
    projector.stop(PATIENCE).await.expect("it stops in time");
}

/// The watermark waits until its place in the stream is known and reached, and so does whoever asks for a copy that has
/// caught up. Without anybody to ask the outbox keeps everything.
#[tokio::test(flavor = "multi_thread")]
async fn a_watermark_waits_for_its_place_in_the_stream() {
    let bed = Bed::new().await;
    let (queue, source) = (bed.queue(), HandSource::default());
    source.become_stream(Stream::topic("changes"));
    source.set_covering(Covering::Unknown);
    let deps = bed.deps(Arc::clone(&queue) as Arc<dyn WorkQueue>, Arc::new(source.clone()));
    let projector = Projector::start(deps.clone());
    bed.wait_followed(&*queue).await;
    source.idle(0x20);
    wait_until("the position to be stored", PATIENCE, || async {
        let position: String = bed.value(r#"SELECT "Position"::text FROM "dms"."ProjectionProgress""#).await;
        position == "0/20"
    })
    .await;
    assert!(!bed.value::<bool>(MARKED_SQL).await);
    let told = projector.status().await.expect("a status").last_error.expect("it says why").text;
    assert!(told.contains("the slot is lost"), "{told}");
    let asked = caught_up(bed.db(), &source, &*queue, None, &SystemClock).await;
    assert!(asked.is_err(), "nobody can tell");

    source.set_covering(Covering::NotYet);
    let ask = caught_up(bed.db(), &source, &*queue, None, &SystemClock);
    let brief = std::time::Duration::from_millis(200);
    assert!(tokio::time::timeout(brief, ask).await.is_err(), "it waits");
    source.set_covering(Covering::Before(Position::before(0x30)));
    source.idle(0x30);
    caught_up(bed.db(), &source, &*queue, None, &SystemClock).await.expect("it has caught up");
    // Nothing is stored while nothing changes.
    let student = bed.post_student(1, "Ada").await;
    source.send(bed.changes(student.uuid).await);
    wait_until("a watermark", PATIENCE, || bed.value(MARKED_SQL)).await;
    projector.stop(PATIENCE).await.expect("it stops in time");
}
