//! Locks that are not held: by waiters at the turnstile, by what failed or was dropped, by writes that change nothing.

use crate::support::{Act, Actor, Doc, PATIENCE, Play, References, Scene, Situation, TURNSTILE_LOCK, refused, written};
use crate::support::{Bed, wheel};
use Act::{Edit, Rename};
use Doc::{H, M, R, S};
use Situation::{AtGate, Done, Held};
use futures::future::join_all;
use millstream_testkit::{Holder, wait_until};
use millstream_writer::{EtagMatch, Outcome, Preconditions, WriteError};
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Instant;

/// Sessions that hold or await the turnstile.
async fn at_the_turnstile(bed: &Bed) -> i64 {
    let sql = r#"SELECT count(*) FROM pg_locks WHERE "locktype" = 'advisory' AND "objsubid" = 1
                   AND ("classid"::int8 << 32) + "objid"::int8 = $1
                   AND "database" = (SELECT "oid" FROM pg_database WHERE "datname" = current_database())"#;
    bed.value(sql, &[&TURNSTILE_LOCK]).await
}

/// The identity lock of a document, held as a sharer or a renamer holds it.
async fn hold_identity(play: &Play, doc: Doc, strength: &str) -> Holder {
    let sql = format!(
        r#"SELECT FROM "dms"."IdentityLock" l JOIN "dms"."Document" d USING ("DocumentId")
           WHERE d."DocumentUuid" = '{}' FOR {strength} OF l"#,
        play.scene.id(doc)
    );
    Holder::hold(play.bed.test_database(), &sql).await
}

/// docs/design/rules.md#rule-1, the turnstile: a sharer that comes after a waiting rename waits behind it, so
/// overlapping sharers cannot
/// starve it.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_overtakes_a_waiting_rename() {
    let mut play = Play::set(References::H).await;
    let first = play.start("A", Edit(R)).await;
    let rename = play.start("B", Rename(H)).await;
    let second = play.start("C", Edit(S)).await;
    let (a, b) = (Situation::behind("A"), Situation::behind("B"));
    play.stands([("A", AtGate), ("B", a), ("C", b.clone())]).await;
    play.open("A").await;
    play.stands([("A", Done), ("B", AtGate), ("C", b)]).await;
    play.open("B").await;
    play.stands([("A", Done), ("B", Done), ("C", AtGate)]).await;
    play.open("C").await;
    let rename = written(rename).await.version;
    assert!(written(first).await.version < rename && rename < written(second).await.version);
    play.finish().await;
}

/// The same with sharers that never pause: the rename gets through while they go on.
#[tokio::test(flavor = "multi_thread")]
async fn overlapping_sharers_do_not_starve_a_rename() {
    const SHARERS: usize = 6;
    const EDITS_MIN: u32 = 30;
    let bed = Arc::new(wheel().await);
    let scene = Scene::set(&bed, References::NONE).await;
    let (over, edits) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
    let sharers = (0..SHARERS).map(|sharer| {
        let (bed, scene, over, edits) = (Arc::clone(&bed), scene.clone(), Arc::clone(&over), Arc::clone(&edits));
        tokio::spawn(async move {
            while !over.load(Ordering::Relaxed) {
                let (_, hub) = scene.body(&bed, H).await;
                let edit = edits.load(Ordering::Relaxed);
                let rim = json!({"rimId": format!("sharer {sharer}"), "note": format!("edit {edit}"),
                                 "firstHubReference": {"hubName": hub["hubName"]}});
                match bed.try_post("rims", rim).await {
                    Ok(_) => drop(edits.fetch_add(1, Ordering::Relaxed)),
                    Err(WriteError::UnresolvedReference { .. }) => {}
                    Err(error) => panic!("an edit failed: {error:?}"),
                }
            }
        })
    });
    let sharers: Vec<_> = sharers.collect();
    let enough = || async { edits.load(Ordering::Relaxed) >= EDITS_MIN };
    wait_until("sharers to be at work", PATIENCE, enough).await;
    for name in ["first", "second", "third"] {
        let (started, before) = (Instant::now(), edits.load(Ordering::Relaxed));
        let rename = bed.put("hubs", scene.id(H), json!({"hubName": name}));
        tokio::time::timeout(PATIENCE, rename).await.expect("a rename gets through");
        println!("{name} rename after {:?}, {} edits", started.elapsed(), edits.load(Ordering::Relaxed) - before);
    }
    over.store(true, Ordering::Relaxed);
    for sharer in join_all(sharers).await {
        sharer.expect("a sharer did not panic");
    }
    bed.work_off_cascades().await;
    bed.check().await;
}

/// docs/design/rules.md#rule-1: the turnstile is released on the error path too, of sharers and of renamers, and the
/// connection lives on.
#[tokio::test(flavor = "multi_thread")]
async fn a_failed_lock_statement_leaves_no_turnstile_behind() {
    for (act, strength) in [(Edit(R), "UPDATE"), (Rename(H), "SHARE"), (Act::Delete(R), "UPDATE")] {
        let mut play = Play::set(References::H).await;
        let holder = hold_identity(&play, H, strength).await;
        let deed = play.start("A", act).await;
        play.stands([("A", Held)]).await;
        assert_eq!(at_the_turnstile(&play.bed).await, 1, "{act:?} waits with the turnstile in hand");
        play.stage.cancel("A").await;
        assert!(matches!(refused(deed).await, WriteError::Internal(_)), "{act:?}");
        assert_eq!(at_the_turnstile(&play.bed).await, 0, "{act:?} left the turnstile locked");
        holder.roll_back().await;
        let again = play.start("A", act).await;
        play.open("A").await;
        written(again).await;
        play.finish().await;
    }
}

/// A request that is dropped while it waits (its client went away) writes nothing and leaves no lock.
#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_write_leaves_no_lock_behind() {
    for (act, strength) in [(Edit(R), "UPDATE"), (Rename(H), "SHARE")] {
        let mut play = Play::set(References::H).await;
        let before = (play.version(H).await, play.version(R).await);
        let holder = hold_identity(&play, H, strength).await;
        let deed = play.start("A", act).await;
        play.stands([("A", Held)]).await;
        deed.abort();
        assert!(deed.await.expect_err("it was dropped").is_cancelled());
        holder.roll_back().await;
        let bed = &play.bed;
        wait_until("the turnstile to be free", PATIENCE, || async { at_the_turnstile(bed).await == 0 }).await;
        let rename = play.start("B", Rename(H)).await;
        play.open("B").await;
        let rename = written(rename).await;
        assert!(rename.version > before.0 && play.version(R).await == rename.version, "{act:?} wrote something");
        play.finish().await;
    }
}

/// An edit that waited for an identity lock while a later one of the same document passed it does not set the time of
/// the document back.
#[tokio::test(flavor = "multi_thread")]
async fn an_edit_that_waited_does_not_set_the_time_back() {
    let mut play = Play::set(References::G).await;
    let holder = hold_identity(&play, H, "UPDATE").await;
    let slow = play.start("A", Act::Point(R, H)).await;
    let quick = play.start("B", Edit(R)).await;
    play.stands([("A", Held), ("B", AtGate)]).await;
    play.open("B").await;
    holder.roll_back().await;
    play.stands([("A", AtGate), ("B", Done)]).await;
    play.open("A").await;
    assert!(written(quick).await.version < written(slow).await.version);
    play.finish().await;
}

/// docs/design/rules.md#rule-9: what changes nothing is answered from one snapshot, whatever others hold, and writes
/// nothing: no row version,
/// no lock mark on a row, no outbox row.
#[tokio::test(flavor = "multi_thread")]
async fn an_unchanged_document_needs_no_lock_and_writes_nothing() {
    let mut play = Play::set(References::HM).await;
    let sql = r#"
        SELECT md5(string_agg(t."row", '|' ORDER BY t."row")) FROM (
            SELECT format('D %s %s %s', d."ctid", d."xmin", d."xmax") FROM "dms"."Document" d
            UNION ALL SELECT format('L %s %s %s', l."ctid", l."xmin", l."xmax") FROM "dms"."IdentityLock" l
            UNION ALL SELECT format('I %s %s %s', i."ctid", i."xmin", i."xmax") FROM "dms"."ReferentialIdentity" i
            UNION ALL SELECT format('E %s %s %s', e."ctid", e."xmin", e."xmax") FROM "dms"."ReferenceEdge" e
            UNION ALL SELECT format('O %s', o."OutboxId") FROM "dms"."Outbox" o) AS t("row")"#;
    let before: String = play.bed.value(sql, &[]).await;
    let turnstile = format!("SELECT pg_advisory_xact_lock({TURNSTILE_LOCK})");
    let turnstile = Holder::hold(play.bed.test_database(), &turnstile).await;
    let tables = r#"LOCK TABLE "dms"."Document", "dms"."IdentityLock", "dms"."Outbox" IN EXCLUSIVE MODE"#;
    turnstile.execute(tables).await;
    for doc in [H, M, R] {
        let (version, body) = play.scene.body(&play.bed, doc).await;
        let posted = play.bed.post(doc.endpoint(), body.clone()).await;
        let put = play.bed.put(doc.endpoint(), play.scene.id(doc), body).await;
        for answer in [posted, put] {
            assert_eq!((answer.outcome, answer.version), (Outcome::Unchanged, version), "{doc:?}");
        }
    }
    turnstile.roll_back().await;
    assert_eq!(play.bed.value::<String>(sql, &[]).await, before);
    play.look().await;
    play.finish().await;
}

/// docs/design/rules.md#rule-3: preconditions and the answers of needless writes know the effective version while a
/// cascade is open.
#[tokio::test(flavor = "multi_thread")]
async fn preconditions_compare_with_the_effective_version() {
    let mut play = Play::set(References::H).await;
    let old = play.version(R).await;
    let rename = play.start("A", Rename(H)).await;
    play.open("A").await;
    let effective = written(rename).await.version;
    let (version, body) = play.scene.body(&play.bed, R).await;
    assert_eq!((version, play.bed.cascades().await.len()), (effective, 1));
    let writer = Actor::new(&play.bed, "writer").await;
    let (resource, id) = (writer.resource("rims"), play.scene.id(R));
    let mut changed = body.clone();
    changed["note"] = json!("conditional");
    changed["id"] = json!(id.to_string());
    let mut same = body;
    same["id"] = changed["id"].clone();
    let (changed, same) = (changed.to_string().into_bytes(), same.to_string().into_bytes());
    let if_match = |version| Preconditions { if_match: Some(EtagMatch::Versions(vec![version])), if_none_match: None };
    let none = |version| Preconditions { if_match: None, if_none_match: Some(EtagMatch::Versions(vec![version])) };

    let unchanged = writer.strict.put(resource, id, &same, &Preconditions::default()).await.expect("unchanged");
    assert_eq!((unchanged.outcome, unchanged.version), (Outcome::Unchanged, effective));
    let refused = writer.strict.put(resource, id, &changed, &if_match(old)).await;
    assert!(matches!(refused, Err(WriteError::PreconditionFailed)), "{refused:?}");
    let refused = writer.strict.delete(resource, id, &if_match(old)).await;
    assert!(matches!(refused, Err(WriteError::PreconditionFailed)), "{refused:?}");
    let refused = writer.strict.put(resource, id, &changed, &none(effective)).await;
    assert!(matches!(refused, Err(WriteError::IfNoneMatchFailed)), "{refused:?}");
    let written = writer.strict.put(resource, id, &changed, &if_match(effective)).await.expect("the current version");
    assert!(written.outcome == Outcome::Updated && written.version > effective);
    play.look().await;
    play.finish().await;
}
