//! Following another stream than before: positions of the first mean nothing in the second.

use std::sync::Arc;

use millstream_pipeline::Position;
use millstream_pipeline::queue::WorkQueue;
use millstream_pipeline::source::{SourceError, Stream};
use millstream_projector::{Projector, Start, SystemClock, caught_up};
use millstream_testkit::wait_until;

use crate::support::{Bed, Covering, DEADLINE, HandSource};

/// The stream stored with the progress.
const STREAM_SQL: &str = r#"SELECT "Stream" FROM "dms"."ProjectionProgress""#;
const MARKED_SQL: &str = r#"SELECT "WatermarkLsn" IS NOT NULL FROM "dms"."ProjectionProgress""#;

/// RECOVERABLE: the position in the first stream is far beyond that in the second, and would look complete.
#[tokio::test(flavor = "multi_thread")]
async fn another_stream_starts_with_a_comparison_and_resumes_from_its_own_position() {
    let bed = Bed::new().await;
    let (queue, source) = (bed.queue(), HandSource::default());
    let deps = bed.deps(Arc::clone(&queue) as Arc<dyn WorkQueue>, Arc::new(source.clone()));
    let projector = Projector::start(deps.clone());
    bed.wait_followed(&*queue).await;
    source.idle(0x7000_0000);
    wait_until("the position to be safe", DEADLINE, || async { source.confirmed() == Position::before(0x7000_0000) })
        .await;
    projector.stop(DEADLINE).await.expect("it stops in time");
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
    projector.stop(DEADLINE).await.expect("it stops in time");

    let projector = Projector::start(deps);
    wait_until("it to be opened again", DEADLINE, || async { source.starts().len() == 3 }).await;
    let starts = source.starts();
    assert_eq!(starts[..2], [Start::Fresh, Start::Fresh], "{starts:?}");
    assert!(matches!(starts[2], Start::After { position, .. } if position == after), "{starts:?}");
    projector.stop(DEADLINE).await.expect("it stops in time");
}

/// Some sources notice a loss only while reading.
#[tokio::test(flavor = "multi_thread")]
async fn changes_that_turn_out_to_be_lost_while_reading_are_found_by_comparison() {
    let bed = Bed::new().await;
    let (queue, source) = (bed.queue(), HandSource::default());
    let projector = Projector::start(bed.deps(Arc::clone(&queue) as Arc<dyn WorkQueue>, Arc::new(source.clone())));
    bed.wait_followed(&*queue).await;
    let lost = bed.post_student(1, "Ada").await;
    source.fail(SourceError::Lost { what: "records".to_owned(), detail: "made for a test".to_owned() });
    bed.wait_cached(lost.uuid, lost.version).await;
    assert_eq!(source.starts(), [Start::Fresh, Start::Fresh]);
    projector.stop(DEADLINE).await.expect("it stops in time");
}

/// The watermark and `caught_up` wait until a log position is mapped to the stream and reached. If the source cannot
/// map it, the outbox keeps all its rows.
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
    wait_until("the position to be stored", DEADLINE, || async {
        let position: String = bed.value(r#"SELECT "Position"::text FROM "dms"."ProjectionProgress""#).await;
        position == "0/20"
    })
    .await;
    assert!(!bed.value::<bool>(MARKED_SQL).await);
    let error = projector.status().await.expect("a status").last_error.expect("it says why").text;
    assert!(error.contains("the slot is lost"), "{error}");
    let asked = caught_up(bed.db(), &source, &*queue, None, &SystemClock).await;
    assert!(asked.is_err(), "the position cannot be mapped");

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
    wait_until("a watermark", DEADLINE, || bed.value(MARKED_SQL)).await;
    projector.stop(DEADLINE).await.expect("it stops in time");
}
