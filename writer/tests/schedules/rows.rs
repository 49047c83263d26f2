//! One test for each row of the table of counterexamples: the schedule that goes wrong without the rule, and what happens
//! with it.

use crate::support::{Act, Doc, Play, References, Scene, Situation, compose, holder_of_row, store, written};
use crate::support::{Bed, wheel};
use Act::{Delete, Edit, Point, Rename, RenameStrict};
use Doc::{G, H, M, R, S};
use Situation::{AtGate, Done, Held};
use millstream_projector::cascade::work_off_page;
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
        let mut play = Play::set(References::HG).await;
        let a = play.start("A", first).await;
        play.stands([("A", AtGate)]).await;
        let b = play.start("B", second).await;
        play.stands([("A", AtGate), ("B", Situation::behind("A"))]).await;
        play.open("A").await;
        play.stands([("A", Done), ("B", AtGate)]).await;
        let (a, between) = (written(a).await, play.version(R).await);
        assert!(between >= a.version, "{first:?} is visible, and R is still at {between}");
        play.open("B").await;
        let b = written(b).await;
        assert!(b.version > between, "{second:?} drew {} while R was shown at {between}", b.version);
        assert!(play.version(R).await >= b.version);
        play.finish().await;
    }
}

/// Row "locking old references" (MONOTONIC): who points R away from H waits for the rename of H.
#[tokio::test(flavor = "multi_thread")]
async fn a_repoint_waits_for_the_rename_of_the_old_reference() {
    for rename in [Rename(H), RenameStrict(H)] {
        let mut play = Play::set(References::H).await;
        let a = play.start("A", rename).await;
        let b = play.start("B", Point(R, G)).await;
        play.stands([("A", AtGate), ("B", Situation::behind("A"))]).await;
        play.open("A").await;
        play.stands([("A", Done), ("B", AtGate)]).await;
        let between = play.version(R).await;
        assert!(between >= written(a).await.version);
        play.open("B").await;
        let b = written(b).await;
        assert!(b.version > between);
        assert_eq!(play.version(R).await, b.version);
        play.finish().await;
    }
}

/// The same row the other way round: the rename waits for whoever points R away, and then leaves R alone.
#[tokio::test(flavor = "multi_thread")]
async fn a_rename_waits_for_a_repoint_and_leaves_it_alone() {
    let mut play = Play::set(References::H).await;
    let a = play.start("A", Point(R, G)).await;
    let b = play.start("B", Rename(H)).await;
    play.stands([("A", AtGate), ("B", Situation::behind("A"))]).await;
    play.open("A").await;
    play.stands([("A", Done), ("B", AtGate)]).await;
    play.open("B").await;
    let (a, b) = (written(a).await, written(b).await);
    assert_eq!(play.version(R).await, a.version, "R does not embed H any more");
    assert_eq!(play.version(S).await, b.version, "S does");
    play.finish().await;
}

/// Row "re-reading references after the row lock" (labels): an editor that waited for R's row with the lock of the old
/// reference finds the new one, lets go of everything, and queues up for the new one's lock.
#[tokio::test(flavor = "multi_thread")]
async fn an_editor_that_waited_for_the_row_locks_what_it_refers_to_now() {
    let mut play = Play::set(References::G).await;
    let note = json!({"rimId": format!("{} R", play.scene.tag), "note": "edited",
                      "firstHubReference": {"hubName": format!("{} G", play.scene.tag)}});
    let repoint = play.start("B", Point(R, H)).await;
    play.stands([("B", AtGate)]).await;
    let (editor, id) = (play.actor("E").await, play.scene.id(R));
    let edit = play.start_deed("E", editor.put("rims", id, note)).await;
    play.stands([("B", AtGate), ("E", Situation::behind("B"))]).await;
    let rename = play.start("A", Rename(H)).await;
    play.stands([("A", Situation::behind("B")), ("B", AtGate), ("E", Situation::behind("B"))]).await;
    play.open("B").await;
    // With the lock of G alone the editor would be at its gate now, with a version drawn.
    play.stands([("A", AtGate), ("B", Done), ("E", Situation::behind("A"))]).await;
    play.open("A").await;
    play.stands([("A", Done), ("B", Done), ("E", AtGate)]).await;
    let shown = play.version(R).await;
    play.open("E").await;
    let (repoint, rename, edit) = (written(repoint).await, written(rename).await, written(edit).await);
    assert!(repoint.version < rename.version && rename.version == shown && shown < edit.version);
    play.finish().await;
}

/// Row "locking the closure's Document rows before drawing" (MONOTONIC): content edits of the renamed document and of a
/// member of its closure come wholly before or wholly after the rename.
#[tokio::test(flavor = "multi_thread")]
async fn content_edits_of_the_closure_come_before_or_after_its_rename() {
    for edited in [H, M] {
        let mut play = Play::set(References::M).await;
        let renamed = json!({"hubName": format!("{} renamed", play.scene.tag)});
        let (renamer, hub) = (play.actor("B").await, play.scene.id(H));
        let a = play.start("A", Edit(edited)).await;
        let b = play.start_deed("B", renamer.put("hubs", hub, renamed)).await;
        play.stands([("A", AtGate), ("B", Situation::behind("A"))]).await;
        play.open("A").await;
        play.stands([("A", Done), ("B", AtGate)]).await;
        play.open("B").await;
        assert!(written(a).await.version < written(b).await.version);

        let rename = play.start("A", Rename(H)).await;
        let edit = play.start("B", Edit(edited)).await;
        play.stands([("A", AtGate), ("B", Situation::behind("A"))]).await;
        play.open("A").await;
        let between = play.version(edited).await;
        play.open("B").await;
        assert!(written(rename).await.version <= between && between < written(edit).await.version);
        play.finish().await;
    }
}

/// The same row at its narrowest: the rename has drawn and has written nothing yet, and still nobody draws for a member
/// of its closure.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_draws_for_the_closure_between_the_draw_and_the_write_of_its_rename() {
    for edited in [H, M] {
        let mut play = Play::set(References::M).await;
        let drawn =
            Gate::on_table(play.bed.test_database(), r#""dms"."ReferentialIdentity""#, GateAt::BeforeDelete).await;
        drawn.close().await;
        let rename = play.start("A", Rename(H)).await;
        let edit = play.start("B", Edit(edited)).await;
        play.stands([("A", Held), ("B", Situation::behind("A"))]).await;
        drawn.open().await;
        play.look().await;
        play.open("A").await;
        let between = play.version(edited).await;
        play.open("B").await;
        assert!(written(rename).await.version <= between && between < written(edit).await.version);
        play.finish().await;
    }
}

/// Row "one cascade row a closure member" (labels): a referrer of a member alone gets that member's version.
#[tokio::test(flavor = "multi_thread")]
async fn every_member_of_the_closure_with_referrers_has_its_own_cascade() {
    let mut play = Play::set(References::M).await;
    let before = play.version(R).await;
    let rename = play.start("A", Rename(H)).await;
    play.open("A").await;
    let h = written(rename).await.version;
    let m = play.version(M).await;
    assert!(h < m, "referenced before referring");
    assert_eq!(play.bed.cascades().await, [(play.scene.id(M), m)], "H has no referrer outside its closure");
    let (version, body) = play.scene.body(&play.bed, R).await;
    assert!(version == m && version > before);
    assert_eq!(body["spokeReference"]["hubName"], format!("{} H'", play.scene.tag));

    let rim = json!({"rimId": format!("{} T", play.scene.tag),
                     "firstHubReference": {"hubName": format!("{} H'", play.scene.tag)}});
    let inserted = play.bed.post("rims", rim).await;
    play.observer.watch("rims", inserted.uuid);
    let again = play.start("B", Rename(H)).await;
    play.open("B").await;
    let h = written(again).await.version;
    let open = play.bed.cascades().await;
    let newest = [(play.scene.id(H), h), (play.scene.id(M), play.version(M).await)];
    assert_eq!(open[1..], newest, "now H has one too");
    assert_eq!(play.bed.body("rims", inserted.uuid).await.0, h);
    assert_eq!(play.bed.work_off_cascades().await, 5, "R and S twice, the new rim once");
    play.finish().await;
}

/// Row "not storing below the effective version" (labels, MONOTONIC), with the statement that projectors store with: of
/// two bodies that were composed under R's own version while cascades were open, neither gets into the cache.
#[tokio::test(flavor = "multi_thread")]
async fn bodies_below_the_effective_version_are_not_cached() {
    let mut play = Play::set(References::H).await;
    let own = play.version(R).await;
    let mut versions = Vec::new();
    for name in ["A", "B"] {
        let rename = play.start(name, Rename(H)).await;
        play.open(name).await;
        versions.push(written(rename).await.version);
        let composed = compose(&play.bed, vec![play.scene.id(R)]).await;
        let head = &composed[0].head;
        assert_eq!((head.content_version, head.effective_version), (own, versions[versions.len() - 1]));
        assert_eq!(store(&play.bed, &composed).await.expect("nobody deletes it"), [CacheOutcome::Superseded]);
    }
    let sql = r#"SELECT max("ContentVersion") FROM "dms"."DocumentCache" WHERE "DocumentUuid" = $1"#;
    let cached: Option<i64> = play.bed.value(sql, &[&play.scene.id(R)]).await;
    assert!(cached.is_none_or(|cached| cached <= own), "cached at {cached:?}");
    play.bed.work_off_cascades().await;
    let composed = compose(&play.bed, vec![play.scene.id(R)]).await;
    assert_eq!(composed[0].head.content_version, versions[1]);
    assert_eq!(store(&play.bed, &composed).await.expect("nobody deletes it"), [CacheOutcome::Stored]);
    play.finish().await;
}

/// Row "FOR SHARE by deletes" (MONOTONIC): the tombstone's version is above every version that R was served at.
#[tokio::test(flavor = "multi_thread")]
async fn a_delete_draws_above_every_version_that_was_served() {
    for rename in [Rename(H), RenameStrict(H)] {
        let mut play = Play::set(References::H).await;
        let a = play.start("A", rename).await;
        let b = play.start("B", Delete(R)).await;
        play.stands([("A", AtGate), ("B", Situation::behind("A"))]).await;
        play.open("A").await;
        play.stands([("A", Done), ("B", AtGate)]).await;
        let served = play.version(R).await;
        assert!(served >= written(a).await.version);
        play.open("B").await;
        let deleted = written(b).await;
        assert!(deleted.version > served, "served at {served}, deleted at {}", deleted.version);
        let sql = r#"SELECT "ContentVersion" FROM "dms"."Tombstone" WHERE "DocumentUuid" = $1"#;
        let tombstone: i64 = play.bed.value(sql, &[&play.scene.id(R)]).await;
        assert_eq!(tombstone, deleted.version);
        play.finish().await;
    }
}

/// The same row the other way round: the rename waits for the delete, and has one referrer less.
#[tokio::test(flavor = "multi_thread")]
async fn a_rename_waits_for_the_delete_of_a_referrer() {
    let mut play = Play::set(References::H).await;
    let a = play.start("A", Delete(R)).await;
    let b = play.start("B", RenameStrict(H)).await;
    play.stands([("A", AtGate), ("B", Situation::behind("A"))]).await;
    play.open("A").await;
    play.open("B").await;
    assert!(written(a).await.version < written(b).await.version);
    play.finish().await;
}

/// Holds everybody who wants to draw for a rename.
async fn rename_lock(bed: &Bed) -> Holder {
    Holder::hold(bed.test_database(), &format!("SELECT pg_advisory_xact_lock({})", crate::support::RENAME_LOCK)).await
}

/// Row "FOR SHARE by the strict renamer for its referrers must not be taken" (no deadlock): both hold their hub, neither
/// wants the other's.
#[tokio::test(flavor = "multi_thread")]
async fn strict_renames_with_a_common_referrer_do_not_wait_in_a_circle() {
    for at_the_row in [false, true] {
        let mut play = Play::set(References::HG).await;
        // Both have their hub then, and come to R together.
        let holder = match at_the_row {
            true => holder_of_row(&play.bed, &play.scene, R).await,
            false => rename_lock(&play.bed).await,
        };
        let a = play.start("A", RenameStrict(H)).await;
        let b = play.start("B", RenameStrict(G)).await;
        holder.roll_back().await;
        play.look().await;
        play.open("A").await;
        play.open("B").await;
        let (a, b) = (written(a).await, written(b).await);
        assert_ne!(a.version, b.version);
        play.finish().await;
    }
}

/// The same row for a member of one closure that is a referrer of the other (no deadlock): A has M in its closure, and B
/// stamps M because it refers to G. Whatever row locks a rename needs, it must have before it takes the rename lock, and
/// in one order.
#[tokio::test(flavor = "multi_thread")]
async fn a_member_of_one_closure_may_be_a_referrer_of_another() {
    for held_first in [true, false] {
        let mut play = Play::set(References::GUIDED).await;
        let lock = if held_first { Some(rename_lock(&play.bed).await) } else { None };
        let row = if held_first { None } else { Some(holder_of_row(&play.bed, &play.scene, M).await) };
        let b = play.start("B", RenameStrict(G)).await;
        let a = play.start("A", RenameStrict(H)).await;
        for holder in [lock, row].into_iter().flatten() {
            holder.roll_back().await;
        }
        play.look().await;
        play.open("B").await;
        play.open("A").await;
        let (a, b) = (written(a).await, written(b).await);
        assert!(play.version(M).await >= a.version.max(b.version));
        play.finish().await;
    }
}

/// The row of the label again, for the time that belongs to it: what a referrer of two renamed hubs is served with does
/// not depend on which cascade reaches it first. The rename that draws last began first here, and is stamped first.
#[tokio::test(flavor = "multi_thread")]
async fn the_time_of_a_label_does_not_depend_on_who_stamps_first() {
    let mut play = Play::set(References::HG).await;
    let only_g = json!({"rimId": format!("{} R", play.scene.tag),
                        "firstHubReference": {"hubName": format!("{} G", play.scene.tag)}});
    play.bed.put("rims", play.scene.id(R), only_g).await;
    let row = holder_of_row(&play.bed, &play.scene, H).await;
    let late = play.start("A", Rename(H)).await;
    let early = play.start("B", Rename(G)).await;
    play.stands([("A", Held), ("B", AtGate)]).await;
    play.open("B").await;
    row.roll_back().await;
    play.look().await;
    play.open("A").await;
    assert!(written(early).await.version < written(late).await.version);
    let mut pages = Vec::new();
    for name in ["worker 1", "worker 2"] {
        let database = play.actor(name).await.database;
        if name == "worker 1" {
            play.stage.close(name).await;
        }
        // H also has M among its referrers, which is past this already.
        let page_size = if name == "worker 1" { 1 } else { 2 };
        pages.push(play.stage.start(name, async move { work_off_page(&database, page_size).await.expect("a page") }));
        play.look().await;
    }
    // The first took the older cascade and stands before its commit with R; the second has stamped S with the newer one.
    play.stands([("A", Done), ("B", Done), ("worker 1", AtGate), ("worker 2", Done)]).await;
    play.open("worker 1").await;
    for page in pages {
        assert_eq!(page.await.expect("a worker did not panic").map(|page| page.stamped), Some(1));
    }
    play.finish().await;
}

/// Row "the transaction id in the queue entry": every outbox row names the transaction that made the change, the one that
/// a reader has to wait for (ATOMIC). What the projector does with it is tested there.
#[tokio::test(flavor = "multi_thread")]
async fn outbox_rows_name_the_transaction_that_has_to_be_visible() {
    let bed = wheel().await;
    let scene = Scene::set(&bed, References::HM).await;
    bed.put("hubs", scene.id(H), json!({"hubName": format!("{} renamed", scene.tag)})).await;
    let sql = r#"
        SELECT count(*) FILTER (WHERE o."TransactionId"::text::int8 % 4294967296 = d."xmin"::text::int8), count(*)
        FROM "dms"."Document" d JOIN "dms"."Outbox" o USING ("DocumentId", "ContentVersion")"#;
    let client = bed.db().get().await.expect("a connection");
    let row = client.query_one(sql, &[]).await.expect("compared");
    let (same, all): (i64, i64) = (row.get(0), row.get(1));
    assert_eq!((same, all), (5, 5), "H, M, R and S were written by the rename, G when it was created");
    let sql = r#"SELECT count(DISTINCT "TransactionId") FROM "dms"."Outbox" WHERE "Kind" IN ('identity', 'touch')"#;
    assert_eq!(bed.value::<i64>(sql, &[]).await, 1);
    bed.check().await;
}
