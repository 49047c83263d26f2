//! A projector on a database that is being written to.

use super::support::{Bed, DEADLINE, HandSource, enrolment, homeroom_of, period};
use futures::future::join_all;
use millstream_pipeline::queue::WorkQueue;
use millstream_projector::{Projector, ProjectorOptions};
use std::sync::Arc;
use std::time::{Duration, Instant};

#[tokio::test(flavor = "multi_thread")]
async fn edits_renames_and_deletes_reach_the_cache() {
    let bed = Bed::new().await;
    let projector = Projector::start(bed.polled());
    let room = bed.homeroom(5).await;
    bed.wait_converged().await;

    let edited = bed.put("studentSchoolAssociations", room.enrolments[0], {
        let mut body = enrolment(0, "1st");
        body["primarySchool"] = true.into();
        body
    });
    let edited = edited.await;
    let body = bed.wait_cached(room.enrolments[0], edited.version).await;
    assert_eq!(body["primarySchool"], true);

    let renamed = bed.put("classPeriods", room.period, period("renamed")).await;
    for enrolment in &room.enrolments {
        let body = bed.wait_cached(*enrolment, renamed.version).await;
        assert_eq!(homeroom_of(&body), "renamed");
    }
    bed.wait_converged().await;

    bed.delete("studentSchoolAssociations", room.enrolments[1]).await;
    assert_eq!(bed.cached(room.enrolments[1]).await, None, "the cached row goes with its document");

    let status = projector.status().await.expect("a status");
    assert_eq!((status.cascade.stamped, status.cascade.open, status.fatal.clone()), (5, 0, None), "{status:#?}");
    assert!(status.rebuild.stored >= 16, "{status:#?}");
    projector.stop(DEADLINE).await.expect("it stops in time");
    bed.verify().await;
}

/// MONOTONIC, CONVERGE: each of two projectors has its own queue, so both process everything, in any order.
#[tokio::test(flavor = "multi_thread")]
async fn two_projectors_at_once_do_no_harm() {
    let bed = Bed::new().await;
    bed.watch_for_regressions().await;
    let first = Projector::start(bed.polled());
    let second = Projector::start(bed.polled());
    let room = bed.homeroom(8).await;

    let edits = (0..4).map(|writer| {
        let bed = &bed;
        async move {
            for round in 0..30 {
                bed.post_student(writer * 2 + round % 2, &format!("Ada {writer} {round}")).await;
            }
        }
    });
    let renames = async {
        for round in 0..8 {
            bed.put("classPeriods", room.period, period(&format!("period {round}"))).await;
        }
    };
    futures::join!(join_all(edits), renames);

    bed.wait_converged().await;
    for projector in [first, second] {
        let status = projector.status().await.expect("a status");
        assert_eq!((status.rebuild.failures, status.rebuild.alarms, status.fatal.clone()), (0, 0, None), "{status:#?}");
        projector.stop(DEADLINE).await.expect("it stops in time");
    }
    assert_eq!(bed.value::<i64>(r#"SELECT count(*) FROM public."Regress""#).await, 0);
    bed.verify().await;
}

/// Asserts only what a broken loop would show (a timer that fills batches, a missed wake-up). The times are printed.
#[tokio::test(flavor = "multi_thread")]
async fn a_single_edit_at_idle_waits_for_nothing() {
    let bed = Bed::new().await;
    let mut deps = bed.polled();
    deps.options = ProjectorOptions::default();
    let projector = Projector::start(deps);
    let mut lags = Vec::new();
    for round in 0..60 {
        let written = bed.post_student(1, &format!("Ada {round}")).await;
        let committed = Instant::now();
        while bed.cached(written.uuid).await.map(|(version, _)| version) != Some(written.version) {
            assert!(committed.elapsed() < DEADLINE, "the edit never reached the cache");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        lags.push(committed.elapsed());
    }
    lags.sort();
    #[allow(clippy::print_stderr)] // tests report on stderr
    {
        eprintln!("commit to cache at idle, polled every 2 ms: p50 {:?}, max {:?}", lags[lags.len() / 2], lags[59]);
    }
    assert!(lags[lags.len() / 2] < Duration::from_millis(500), "{lags:?}");
    projector.stop(DEADLINE).await.expect("it stops in time");
}

#[tokio::test(flavor = "multi_thread")]
async fn status_shows_the_work_and_stopping_keeps_to_its_deadline() {
    let bed = Bed::new().await;
    let (queue, source) = (bed.queue(), HandSource::default());
    let projector = Projector::start(bed.deps(Arc::clone(&queue) as Arc<dyn WorkQueue>, Arc::new(source.clone())));
    bed.wait_followed(&*queue).await;
    let written = bed.post_student(1, "Ada").await;
    source.send(bed.changes(written.uuid).await);
    bed.wait_cached(written.uuid, written.version).await;
    let status = projector.status().await.expect("a status");
    assert!(status.source.connected, "{status:?}");
    assert_eq!(status.queue.depth, 0, "{status:?}");
    assert_eq!(status.rebuild.stored, 1, "{status:?}");
    assert_eq!(status.fatal, None, "{status:?}");

    // A delete that does not end blocks the upsert of the same document, and with it its worker.
    let lock = format!(r#"SELECT FROM "dms"."Document" WHERE "DocumentUuid" = '{}' FOR UPDATE"#, written.uuid);
    bed.execute(r#"DELETE FROM "dms"."DocumentCache""#).await;
    let holder = millstream_testkit::Holder::hold(&bed.database, &lock).await;
    source.send(bed.changes(written.uuid).await);
    holder.wait_for_blocked(1).await;
    let error = projector.stop(Duration::from_millis(50)).await.expect_err("a worker is busy");
    assert_eq!(error.group, "rebuild");
    holder.roll_back().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_hangs_does_not_hide_the_status() {
    let bed = Bed::new().await;
    let projector = Projector::start(bed.polled());
    bed.wait_converged().await;
    let holder = millstream_testkit::Holder::hold(&bed.database, r#"LOCK TABLE "dms"."Cascade""#).await;
    let answered = tokio::time::timeout(DEADLINE, projector.status()).await;
    let status = answered.expect("it answers").expect("a status");
    let error = status.last_error.map(|error| error.text).unwrap_or_default();
    assert!(error.contains("the database did not answer"), "{error}");
    holder.roll_back().await;
    projector.stop(DEADLINE).await.expect("it stops in time");
}
