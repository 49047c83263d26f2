//! One test per row of the table of counterexamples (docs/design/schedules.md#counterexamples): the schedule that fails
//! without the rule, with the rule in place.

use crate::support::{Act, Doc, Documents, References, Schedule, Situation, compose, holder_of_row, store, written};
use crate::support::{Fixture, wheel};
use Act::{Delete, Edit, Point, Rename, RenameStrict};
use Doc::{G, H, M, R, S};
use Situation::{AtGate, Done, Held};
use millstream_projector::cascade::stamp_page;
use millstream_store::table::cache::CacheOutcome;
use millstream_testkit::gate::GateAt;
use millstream_testkit::{Gate, Holder};
use serde_json::json;

/// Row "the rename lock" (MONOTONIC, FRESH): a rename draws only once the one before it is visible, so a referrer of both
/// never keeps its etag while its body changes.
#[tokio::test(flavor = "multi_thread")]
async fn a_rename_draws_after_the_one_before_it_is_visible() {
    for (first, second) in [
        (Rename(H), Rename(G)),
        (Rename(H), RenameStrict(G)),
        (RenameStrict(H), Rename(G)),
        (RenameStrict(H), RenameStrict(G)),
    ] {
        let mut schedule = Schedule::new(References::HG).await;
        let a = schedule.start("A", first).await;
        schedule.expect([("A", AtGate)]).await;
        let b = schedule.start("B", second).await;
        schedule.expect([("A", AtGate), ("B", Situation::behind("A"))]).await;
        schedule.open("A").await;
        schedule.expect([("A", Done), ("B", AtGate)]).await;
        let (a, between) = (written(a).await, schedule.version(R).await);
        assert!(between >= a.version, "{first:?} is visible, and R is still at {between}");
        schedule.open("B").await;
        let b = written(b).await;
        assert!(b.version > between, "{second:?} drew {} while R was shown at {between}", b.version);
        assert!(schedule.version(R).await >= b.version);
        schedule.finish().await;
    }
}

/// Row "locking old references" (MONOTONIC): a write that re-points R from H waits for the rename of H.
#[tokio::test(flavor = "multi_thread")]
async fn a_repoint_waits_for_the_rename_of_the_old_reference() {
    for rename in [Rename(H), RenameStrict(H)] {
        let mut schedule = Schedule::new(References::H).await;
        let a = schedule.start("A", rename).await;
        let b = schedule.start("B", Point(R, G)).await;
        schedule.expect([("A", AtGate), ("B", Situation::behind("A"))]).await;
        schedule.open("A").await;
        schedule.expect([("A", Done), ("B", AtGate)]).await;
        let between = schedule.version(R).await;
        assert!(between >= written(a).await.version);
        schedule.open("B").await;
        let b = written(b).await;
        assert!(b.version > between);
        assert_eq!(schedule.version(R).await, b.version);
        schedule.finish().await;
    }
}

/// The same row in the other order: the rename waits for the write that re-points R, and then does not stamp R.
#[tokio::test(flavor = "multi_thread")]
async fn a_rename_waits_for_a_repoint_and_leaves_it_alone() {
    let mut schedule = Schedule::new(References::H).await;
    let a = schedule.start("A", Point(R, G)).await;
    let b = schedule.start("B", Rename(H)).await;
    schedule.expect([("A", AtGate), ("B", Situation::behind("A"))]).await;
    schedule.open("A").await;
    schedule.expect([("A", Done), ("B", AtGate)]).await;
    schedule.open("B").await;
    let (a, b) = (written(a).await, written(b).await);
    assert_eq!(schedule.version(R).await, a.version, "R no longer embeds H");
    assert_eq!(schedule.version(S).await, b.version, "S does");
    schedule.finish().await;
}

/// Row "re-reading references after the row lock" (labels): an editor that waited for the row of R with the lock of the
/// old reference finds the new reference, releases its locks, and waits for the lock of the new one.
#[tokio::test(flavor = "multi_thread")]
async fn an_editor_that_waited_for_the_row_locks_what_it_refers_to_now() {
    let mut schedule = Schedule::new(References::G).await;
    let note = json!({"rimId": format!("{} R", schedule.documents.tag), "note": "edited",
                      "firstHubReference": {"hubName": format!("{} G", schedule.documents.tag)}});
    let repoint = schedule.start("B", Point(R, H)).await;
    schedule.expect([("B", AtGate)]).await;
    let (editor, id) = (schedule.actor("E").await, schedule.documents.id(R));
    let edit = schedule.start_request("E", editor.put("rims", id, note)).await;
    schedule.expect([("B", AtGate), ("E", Situation::behind("B"))]).await;
    let rename = schedule.start("A", Rename(H)).await;
    schedule.expect([("A", Situation::behind("B")), ("B", AtGate), ("E", Situation::behind("B"))]).await;
    schedule.open("B").await;
    // With the lock of G only, the editor would now be at its gate with a drawn version.
    schedule.expect([("A", AtGate), ("B", Done), ("E", Situation::behind("A"))]).await;
    schedule.open("A").await;
    schedule.expect([("A", Done), ("B", Done), ("E", AtGate)]).await;
    let shown = schedule.version(R).await;
    schedule.open("E").await;
    let (repoint, rename, edit) = (written(repoint).await, written(rename).await, written(edit).await);
    assert!(repoint.version < rename.version && rename.version == shown && shown < edit.version);
    schedule.finish().await;
}

/// Row "locking the closure's Document rows before drawing" (MONOTONIC): content edits of the renamed document and of a
/// member of its closure come entirely before or entirely after the rename.
#[tokio::test(flavor = "multi_thread")]
async fn content_edits_of_the_closure_come_before_or_after_its_rename() {
    for edited in [H, M] {
        let mut schedule = Schedule::new(References::M).await;
        let renamed = json!({"hubName": format!("{} renamed", schedule.documents.tag)});
        let (renamer, hub) = (schedule.actor("B").await, schedule.documents.id(H));
        let a = schedule.start("A", Edit(edited)).await;
        let b = schedule.start_request("B", renamer.put("hubs", hub, renamed)).await;
        schedule.expect([("A", AtGate), ("B", Situation::behind("A"))]).await;
        schedule.open("A").await;
        schedule.expect([("A", Done), ("B", AtGate)]).await;
        schedule.open("B").await;
        assert!(written(a).await.version < written(b).await.version);

        let rename = schedule.start("A", Rename(H)).await;
        let edit = schedule.start("B", Edit(edited)).await;
        schedule.expect([("A", AtGate), ("B", Situation::behind("A"))]).await;
        schedule.open("A").await;
        let between = schedule.version(edited).await;
        schedule.open("B").await;
        assert!(written(rename).await.version <= between && between < written(edit).await.version);
        schedule.finish().await;
    }
}

/// The same row at its narrowest point: the rename has drawn its version and written nothing, and no other write draws a
/// version for a member of its closure.
#[tokio::test(flavor = "multi_thread")]
async fn no_write_draws_for_the_closure_between_the_draw_and_the_write_of_its_rename() {
    for edited in [H, M] {
        let mut schedule = Schedule::new(References::M).await;
        let drawn =
            Gate::on_table(schedule.fixture.test_database(), r#""dms"."ReferentialIdentity""#, GateAt::BeforeDelete)
                .await;
        drawn.close().await;
        let rename = schedule.start("A", Rename(H)).await;
        let edit = schedule.start("B", Edit(edited)).await;
        schedule.expect([("A", Held), ("B", Situation::behind("A"))]).await;
        drawn.open().await;
        schedule.observe().await;
        schedule.open("A").await;
        let between = schedule.version(edited).await;
        schedule.open("B").await;
        assert!(written(rename).await.version <= between && between < written(edit).await.version);
        schedule.finish().await;
    }
}

/// Row "one cascade row per closure member" (labels): a referrer of one member gets the version of that member.
#[tokio::test(flavor = "multi_thread")]
async fn every_member_of_the_closure_with_referrers_has_its_own_cascade() {
    let mut schedule = Schedule::new(References::M).await;
    let before = schedule.version(R).await;
    let rename = schedule.start("A", Rename(H)).await;
    schedule.open("A").await;
    let h = written(rename).await.version;
    let m = schedule.version(M).await;
    assert!(h < m, "referenced before referring");
    assert_eq!(
        schedule.fixture.cascades().await,
        [(schedule.documents.id(M), m)],
        "H has no referrer outside its closure"
    );
    let (version, body) = schedule.documents.body(&schedule.fixture, R).await;
    assert!(version == m && version > before);
    assert_eq!(body["spokeReference"]["hubName"], format!("{} H'", schedule.documents.tag));

    let rim = json!({"rimId": format!("{} T", schedule.documents.tag),
                     "firstHubReference": {"hubName": format!("{} H'", schedule.documents.tag)}});
    let inserted = schedule.fixture.post("rims", rim).await;
    schedule.observer.watch("rims", inserted.uuid);
    let again = schedule.start("B", Rename(H)).await;
    schedule.open("B").await;
    let h = written(again).await.version;
    let open = schedule.fixture.cascades().await;
    let newest = [(schedule.documents.id(H), h), (schedule.documents.id(M), schedule.version(M).await)];
    assert_eq!(open[1..], newest, "H has a referrer outside its closure now");
    assert_eq!(schedule.fixture.body("rims", inserted.uuid).await.0, h);
    assert_eq!(schedule.fixture.work_off_cascades().await, 5, "R and S twice, the new rim once");
    schedule.finish().await;
}

/// Row "not storing below the effective version" (labels, MONOTONIC), with the statement that projectors use: of two
/// bodies composed under the content version of R while cascades were open, neither is stored in the cache.
#[tokio::test(flavor = "multi_thread")]
async fn bodies_below_the_effective_version_are_not_cached() {
    let mut schedule = Schedule::new(References::H).await;
    let own = schedule.version(R).await;
    let mut versions = Vec::new();
    for name in ["A", "B"] {
        let rename = schedule.start(name, Rename(H)).await;
        schedule.open(name).await;
        versions.push(written(rename).await.version);
        let composed = compose(&schedule.fixture, vec![schedule.documents.id(R)]).await;
        let head = &composed[0].head;
        assert_eq!((head.content_version, head.effective_version), (own, versions[versions.len() - 1]));
        assert_eq!(
            store(&schedule.fixture, &composed).await.expect("no delete is running"),
            [CacheOutcome::Superseded]
        );
    }
    let sql = r#"SELECT max("ContentVersion") FROM "dms"."DocumentCache" WHERE "DocumentUuid" = $1"#;
    let cached: Option<i64> = schedule.fixture.value(sql, &[&schedule.documents.id(R)]).await;
    assert!(cached.is_none_or(|cached| cached <= own), "cached at {cached:?}");
    schedule.fixture.work_off_cascades().await;
    let composed = compose(&schedule.fixture, vec![schedule.documents.id(R)]).await;
    assert_eq!(composed[0].head.content_version, versions[1]);
    assert_eq!(store(&schedule.fixture, &composed).await.expect("no delete is running"), [CacheOutcome::Stored]);
    schedule.finish().await;
}

/// Row "FOR SHARE by deletes" (MONOTONIC): the version of the tombstone is above every served version of R.
#[tokio::test(flavor = "multi_thread")]
async fn a_delete_draws_above_every_version_that_was_served() {
    for rename in [Rename(H), RenameStrict(H)] {
        let mut schedule = Schedule::new(References::H).await;
        let a = schedule.start("A", rename).await;
        let b = schedule.start("B", Delete(R)).await;
        schedule.expect([("A", AtGate), ("B", Situation::behind("A"))]).await;
        schedule.open("A").await;
        schedule.expect([("A", Done), ("B", AtGate)]).await;
        let served = schedule.version(R).await;
        assert!(served >= written(a).await.version);
        schedule.open("B").await;
        let deleted = written(b).await;
        assert!(deleted.version > served, "served at {served}, deleted at {}", deleted.version);
        let sql = r#"SELECT "ContentVersion" FROM "dms"."Tombstone" WHERE "DocumentUuid" = $1"#;
        let tombstone: i64 = schedule.fixture.value(sql, &[&schedule.documents.id(R)]).await;
        assert_eq!(tombstone, deleted.version);
        schedule.finish().await;
    }
}

/// The same row in the other order: the rename waits for the delete and has one referrer fewer.
#[tokio::test(flavor = "multi_thread")]
async fn a_rename_waits_for_the_delete_of_a_referrer() {
    let mut schedule = Schedule::new(References::H).await;
    let a = schedule.start("A", Delete(R)).await;
    let b = schedule.start("B", RenameStrict(H)).await;
    schedule.expect([("A", AtGate), ("B", Situation::behind("A"))]).await;
    schedule.open("A").await;
    schedule.open("B").await;
    assert!(written(a).await.version < written(b).await.version);
    schedule.finish().await;
}

/// Blocks every rename before it draws a version.
async fn rename_lock(fixture: &Fixture) -> Holder {
    Holder::hold(fixture.test_database(), &format!("SELECT pg_advisory_xact_lock({})", crate::support::RENAME_LOCK))
        .await
}

/// Row "FOR SHARE by the strict renamer for its referrers must not be taken" (no deadlock): each rename locks its own hub
/// and not the other one.
#[tokio::test(flavor = "multi_thread")]
async fn strict_renames_with_a_common_referrer_do_not_deadlock() {
    for at_the_row in [false, true] {
        let mut schedule = Schedule::new(References::HG).await;
        // Both renames then hold their hub and reach R at the same time.
        let holder = match at_the_row {
            true => holder_of_row(&schedule.fixture, &schedule.documents, R).await,
            false => rename_lock(&schedule.fixture).await,
        };
        let a = schedule.start("A", RenameStrict(H)).await;
        let b = schedule.start("B", RenameStrict(G)).await;
        holder.roll_back().await;
        schedule.observe().await;
        schedule.open("A").await;
        schedule.open("B").await;
        let (a, b) = (written(a).await, written(b).await);
        assert_ne!(a.version, b.version);
        schedule.finish().await;
    }
}

/// The same row for a member of one closure that is a referrer of the other (no deadlock): A has M in its closure, and B
/// stamps M because it refers to G. A rename must take all its row locks before the rename lock, and in one order.
#[tokio::test(flavor = "multi_thread")]
async fn a_member_of_one_closure_may_be_a_referrer_of_another() {
    for held_first in [true, false] {
        let mut schedule = Schedule::new(References::GUIDED).await;
        let lock = if held_first { Some(rename_lock(&schedule.fixture).await) } else { None };
        let row = if held_first { None } else { Some(holder_of_row(&schedule.fixture, &schedule.documents, M).await) };
        let b = schedule.start("B", RenameStrict(G)).await;
        let a = schedule.start("A", RenameStrict(H)).await;
        for holder in [lock, row].into_iter().flatten() {
            holder.roll_back().await;
        }
        schedule.observe().await;
        schedule.open("B").await;
        schedule.open("A").await;
        let (a, b) = (written(a).await, written(b).await);
        assert!(schedule.version(M).await >= a.version.max(b.version));
        schedule.finish().await;
    }
}

/// The same rule for the last-modified time: the time of a referrer of two renamed hubs does not depend on which cascade
/// stamps it first. Here the rename that draws last began first and stamps first.
#[tokio::test(flavor = "multi_thread")]
async fn the_time_of_a_label_does_not_depend_on_who_stamps_first() {
    let mut schedule = Schedule::new(References::HG).await;
    let only_g = json!({"rimId": format!("{} R", schedule.documents.tag),
                        "firstHubReference": {"hubName": format!("{} G", schedule.documents.tag)}});
    schedule.fixture.put("rims", schedule.documents.id(R), only_g).await;
    let row = holder_of_row(&schedule.fixture, &schedule.documents, H).await;
    let late = schedule.start("A", Rename(H)).await;
    let early = schedule.start("B", Rename(G)).await;
    schedule.expect([("A", Held), ("B", AtGate)]).await;
    schedule.open("B").await;
    row.roll_back().await;
    schedule.observe().await;
    schedule.open("A").await;
    assert!(written(early).await.version < written(late).await.version);
    let mut pages = Vec::new();
    for name in ["worker 1", "worker 2"] {
        let database = schedule.actor(name).await.database;
        if name == "worker 1" {
            schedule.scheduler.close(name).await;
        }
        // M is a referrer of H too, but already has a later version.
        let page_size = if name == "worker 1" { 1 } else { 2 };
        pages.push(
            schedule.scheduler.start(name, async move { stamp_page(&database, page_size).await.expect("a page") }),
        );
        schedule.observe().await;
    }
    // The first worker took the older cascade and waits before its commit with R; the second has stamped S with the newer
    // one.
    schedule.expect([("A", Done), ("B", Done), ("worker 1", AtGate), ("worker 2", Done)]).await;
    schedule.open("worker 1").await;
    for page in pages {
        assert_eq!(page.await.expect("a worker did not panic").map(|page| page.stamped), Some(1));
    }
    schedule.finish().await;
}

/// Row "the transaction id in the queue entry": every outbox row names the transaction of the change, for which a reader
/// must wait (ATOMIC). The tests of the projector cover that wait.
#[tokio::test(flavor = "multi_thread")]
async fn outbox_rows_name_the_transaction_that_has_to_be_visible() {
    let fixture = wheel().await;
    let documents = Documents::create(&fixture, References::HM).await;
    fixture.put("hubs", documents.id(H), json!({"hubName": format!("{} renamed", documents.tag)})).await;
    let sql = r#"
        SELECT count(*) FILTER (WHERE o."TransactionId"::text::int8 % 4294967296 = d."xmin"::text::int8), count(*)
        FROM "dms"."Document" d JOIN "dms"."Outbox" o USING ("DocumentId", "ContentVersion")"#;
    let client = fixture.db().get().await.expect("a connection");
    let row = client.query_one(sql, &[]).await.expect("compared");
    let (same, all): (i64, i64) = (row.get(0), row.get(1));
    assert_eq!((same, all), (5, 5), "H, M, R and S were written by the rename, G when it was created");
    let sql = r#"SELECT count(DISTINCT "TransactionId") FROM "dms"."Outbox" WHERE "Kind" IN ('identity', 'touch')"#;
    assert_eq!(fixture.value::<i64>(sql, &[]).await, 1);
    fixture.check().await;
}
