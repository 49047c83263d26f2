//! Lock lifetimes: the turnstile while a rename waits, locks after failed and dropped writes, and writes that change
//! nothing and take no lock.

use crate::support::{
    Act, Actor, Doc, Documents, References, Schedule, Situation, TIMEOUT, TURNSTILE_LOCK, refused, written,
};
use crate::support::{Fixture, wheel};
use Act::{Edit, Rename};
use Doc::{G, H, M, R, S};
use Situation::{AtGate, Done, Held};
use futures::future::join_all;
use millstream_store::connect::{Database, PoolOptions, SessionSettings};
use millstream_store::error::ErrorKind;
use millstream_testkit::{Holder, wait_until};
use millstream_writer::{EtagMatch, Outcome, Preconditions, WriteError, Writer, WriterOptions};
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Counts the sessions that hold or await the turnstile.
async fn at_the_turnstile(fixture: &Fixture) -> i64 {
    let sql = r#"SELECT count(*) FROM pg_locks WHERE "locktype" = 'advisory' AND "objsubid" = 1
                   AND ("classid"::int8 << 32) + "objid"::int8 = $1
                   AND "database" = (SELECT "oid" FROM pg_database WHERE "datname" = current_database())"#;
    fixture.value(sql, &[&TURNSTILE_LOCK]).await
}

/// Holds the identity lock of a document with the strength of a sharer or a renamer.
async fn hold_identity(schedule: &Schedule, doc: Doc, strength: &str) -> Holder {
    let sql = format!(
        r#"SELECT FROM "dms"."IdentityLock" l JOIN "dms"."Document" d USING ("DocumentId")
           WHERE d."DocumentUuid" = '{}' FOR {strength} OF l"#,
        schedule.documents.id(doc)
    );
    Holder::hold(schedule.fixture.test_database(), &sql).await
}

/// docs/design/rules.md#rule-1, the turnstile: a sharer that arrives after a waiting rename waits behind it, so
/// overlapping sharers cannot starve it.
#[tokio::test(flavor = "multi_thread")]
async fn no_sharer_overtakes_a_waiting_rename() {
    let mut schedule = Schedule::new(References::H).await;
    let first = schedule.start("A", Edit(R)).await;
    let rename = schedule.start("B", Rename(H)).await;
    let second = schedule.start("C", Edit(S)).await;
    let (a, b) = (Situation::behind("A"), Situation::behind("B"));
    schedule.expect([("A", AtGate), ("B", a), ("C", b.clone())]).await;
    schedule.open("A").await;
    schedule.expect([("A", Done), ("B", AtGate), ("C", b)]).await;
    schedule.open("B").await;
    schedule.expect([("A", Done), ("B", Done), ("C", AtGate)]).await;
    schedule.open("C").await;
    let rename = written(rename).await.version;
    assert!(written(first).await.version < rename && rename < written(second).await.version);
    schedule.finish().await;
}

/// The same with sharers that never pause: the rename completes while they continue.
#[tokio::test(flavor = "multi_thread")]
async fn overlapping_sharers_do_not_starve_a_rename() {
    const SHARERS: usize = 6;
    const EDITS_MIN: u32 = 30;
    let fixture = Arc::new(wheel().await);
    let documents = Documents::create(&fixture, References::NONE).await;
    let (over, edits) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
    let sharers = (0..SHARERS).map(|sharer| {
        let (fixture, documents, over, edits) =
            (Arc::clone(&fixture), documents.clone(), Arc::clone(&over), Arc::clone(&edits));
        tokio::spawn(async move {
            while !over.load(Ordering::Relaxed) {
                let (_, hub) = documents.body(&fixture, H).await;
                let edit = edits.load(Ordering::Relaxed);
                let rim = json!({"rimId": format!("sharer {sharer}"), "note": format!("edit {edit}"),
                                 "firstHubReference": {"hubName": hub["hubName"]}});
                match fixture.try_post("rims", rim).await {
                    Ok(_) => drop(edits.fetch_add(1, Ordering::Relaxed)),
                    Err(WriteError::UnresolvedReference { .. }) => {}
                    Err(error) => panic!("an edit failed: {error:?}"),
                }
            }
        })
    });
    let sharers: Vec<_> = sharers.collect();
    let enough = || async { edits.load(Ordering::Relaxed) >= EDITS_MIN };
    wait_until("the sharers to have edited", TIMEOUT, enough).await;
    for name in ["first", "second", "third"] {
        let (started, before) = (Instant::now(), edits.load(Ordering::Relaxed));
        let rename = fixture.put("hubs", documents.id(H), json!({"hubName": name}));
        tokio::time::timeout(TIMEOUT, rename).await.expect("a rename completes");
        println!("{name} rename after {:?}, {} edits", started.elapsed(), edits.load(Ordering::Relaxed) - before);
    }
    over.store(true, Ordering::Relaxed);
    for sharer in join_all(sharers).await {
        sharer.expect("a sharer did not panic");
    }
    fixture.work_off_cascades().await;
    fixture.check().await;
}

/// docs/design/rules.md#rule-1: a rename whose locks are held by a forgotten transaction lets other writes pass between
/// its rounds, ends with an error that may be repeated, and leaves the turnstile free.
#[tokio::test(flavor = "multi_thread")]
async fn a_rename_that_cannot_get_its_locks_stops_no_other_write_for_long() {
    let fixture = wheel().await;
    let documents = Documents::create(&fixture, References::H).await;
    let forgotten = format!(
        r#"SELECT FROM "dms"."IdentityLock" l JOIN "dms"."Document" d USING ("DocumentId")
           WHERE d."DocumentUuid" = '{}' FOR SHARE OF l"#,
        documents.id(H)
    );
    let holder = Holder::hold(fixture.test_database(), &forgotten).await;
    let options = WriterOptions { lock_round: Duration::from_millis(200), ..WriterOptions::default() };
    let writer = Writer::new(fixture.db().clone(), Arc::clone(&fixture.mapping), options).expect("a writer");
    let (resource, id) = (fixture.resource("hubs"), documents.id(H));
    let body = json!({"id": id.to_string(), "hubName": "renamed"}).to_string().into_bytes();
    let rename = tokio::spawn(async move { writer.put(resource, id, &body, &Preconditions::default()).await });
    holder.wait_for_blocked(1).await;

    let (_, other) = documents.body(&fixture, G).await;
    let rim = json!({"rimId": "unrelated", "firstHubReference": {"hubName": other["hubName"]}});
    let unrelated = tokio::time::timeout(TIMEOUT, fixture.try_post("rims", rim)).await;
    unrelated.expect("an unrelated write does not wait for the rename").expect("it is written");
    let refused = tokio::time::timeout(TIMEOUT, rename).await.expect("the rename gives up").expect("no panic");
    let Err(WriteError::Unavailable(error)) = refused else { panic!("{refused:?}") };
    assert_eq!(error.kind(), &ErrorKind::LockTimeout);
    assert_eq!(at_the_turnstile(&fixture).await, 0);
    holder.roll_back().await;
    fixture.put("hubs", documents.id(H), json!({"hubName": "renamed"})).await;
    fixture.check().await;
}

/// A write waits for a lock no longer than the sessions of its pool allow, and ends with an error that may be repeated.
#[tokio::test(flavor = "multi_thread")]
async fn a_write_gives_up_waiting_for_a_lock() {
    let fixture = wheel().await;
    let documents = Documents::create(&fixture, References::H).await;
    let locked = format!(
        r#"SELECT FROM "dms"."IdentityLock" l JOIN "dms"."Document" d USING ("DocumentId")
           WHERE d."DocumentUuid" = '{}' FOR UPDATE OF l"#,
        documents.id(H)
    );
    let holder = Holder::hold(fixture.test_database(), &locked).await;
    let settings = SessionSettings { lock_timeout: Some(Duration::from_millis(100)), ..SessionSettings::default() };
    let pool = PoolOptions { settings, ..PoolOptions::of_size(1) };
    let pool = Database::new(fixture.test_database().options(), pool).expect("a pool");
    let writer = Writer::new(pool, Arc::clone(&fixture.mapping), WriterOptions::default()).expect("a writer");
    let (_, hub) = documents.body(&fixture, H).await;
    let rim = json!({"rimId": "late", "firstHubReference": {"hubName": hub["hubName"]}}).to_string().into_bytes();
    let (rims, always) = (fixture.resource("rims"), Preconditions::default());
    let refused = tokio::time::timeout(TIMEOUT, writer.post(rims, &rim, &always)).await.expect("it gives up");
    let Err(WriteError::Unavailable(error)) = refused else { panic!("{refused:?}") };
    assert_eq!(error.kind(), &ErrorKind::LockTimeout);
    assert_eq!(at_the_turnstile(&fixture).await, 0);
    holder.roll_back().await;
    writer.post(rims, &rim, &always).await.expect("written after the lock was released");
    fixture.check().await;
}

/// docs/design/rules.md#rule-1: sharers and renamers release the turnstile on the error path too, and the connection
/// stays usable.
#[tokio::test(flavor = "multi_thread")]
async fn a_failed_lock_statement_leaves_no_turnstile_behind() {
    for (act, strength) in [(Edit(R), "UPDATE"), (Rename(H), "SHARE"), (Act::Delete(R), "UPDATE")] {
        let mut schedule = Schedule::new(References::H).await;
        let holder = hold_identity(&schedule, H, strength).await;
        let request = schedule.start("A", act).await;
        schedule.expect([("A", Held)]).await;
        assert_eq!(at_the_turnstile(&schedule.fixture).await, 1, "{act:?} waits while it holds the turnstile");
        schedule.scheduler.cancel("A").await;
        assert!(matches!(refused(request).await, WriteError::Unavailable(_)), "{act:?}");
        assert_eq!(at_the_turnstile(&schedule.fixture).await, 0, "{act:?} left the turnstile locked");
        holder.roll_back().await;
        let again = schedule.start("A", act).await;
        schedule.open("A").await;
        written(again).await;
        schedule.finish().await;
    }
}

/// A request that is dropped while it waits (client disconnect) writes nothing and leaves no lock.
#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_write_leaves_no_lock_behind() {
    for (act, strength) in [(Edit(R), "UPDATE"), (Rename(H), "SHARE")] {
        let mut schedule = Schedule::new(References::H).await;
        let before = (schedule.version(H).await, schedule.version(R).await);
        let holder = hold_identity(&schedule, H, strength).await;
        let request = schedule.start("A", act).await;
        schedule.expect([("A", Held)]).await;
        request.abort();
        assert!(request.await.expect_err("the write was dropped").is_cancelled());
        holder.roll_back().await;
        let fixture = &schedule.fixture;
        wait_until("the turnstile to be free", TIMEOUT, || async { at_the_turnstile(fixture).await == 0 }).await;
        let rename = schedule.start("B", Rename(H)).await;
        schedule.open("B").await;
        let rename = written(rename).await;
        assert!(rename.version > before.0 && schedule.version(R).await == rename.version, "{act:?} wrote something");
        schedule.finish().await;
    }
}

/// An edit that waits for an identity lock while a later edit of the same document overtakes it does not set the
/// last-modified time back.
#[tokio::test(flavor = "multi_thread")]
async fn an_edit_that_waited_does_not_set_the_time_back() {
    let mut schedule = Schedule::new(References::G).await;
    let holder = hold_identity(&schedule, H, "UPDATE").await;
    let slow = schedule.start("A", Act::Point(R, H)).await;
    let quick = schedule.start("B", Edit(R)).await;
    schedule.expect([("A", Held), ("B", AtGate)]).await;
    schedule.open("B").await;
    holder.roll_back().await;
    schedule.expect([("A", AtGate), ("B", Done)]).await;
    schedule.open("A").await;
    assert!(written(quick).await.version < written(slow).await.version);
    schedule.finish().await;
}

/// docs/design/rules.md#rule-9: a write that changes nothing is answered from one snapshot, regardless of locks held by
/// others, and writes nothing: no row version, no row lock, no outbox row.
#[tokio::test(flavor = "multi_thread")]
async fn an_unchanged_document_needs_no_lock_and_writes_nothing() {
    let mut schedule = Schedule::new(References::HM).await;
    let sql = r#"
        SELECT md5(string_agg(t."row", '|' ORDER BY t."row")) FROM (
            SELECT format('D %s %s %s', d."ctid", d."xmin", d."xmax") FROM "dms"."Document" d
            UNION ALL SELECT format('L %s %s %s', l."ctid", l."xmin", l."xmax") FROM "dms"."IdentityLock" l
            UNION ALL SELECT format('I %s %s %s', i."ctid", i."xmin", i."xmax") FROM "dms"."ReferentialIdentity" i
            UNION ALL SELECT format('E %s %s %s', e."ctid", e."xmin", e."xmax") FROM "dms"."ReferenceEdge" e
            UNION ALL SELECT format('O %s', o."OutboxId") FROM "dms"."Outbox" o) AS t("row")"#;
    let before: String = schedule.fixture.value(sql, &[]).await;
    let turnstile = format!("SELECT pg_advisory_xact_lock({TURNSTILE_LOCK})");
    let turnstile = Holder::hold(schedule.fixture.test_database(), &turnstile).await;
    let tables = r#"LOCK TABLE "dms"."Document", "dms"."IdentityLock", "dms"."Outbox" IN EXCLUSIVE MODE"#;
    turnstile.execute(tables).await;
    for doc in [H, M, R] {
        let (version, body) = schedule.documents.body(&schedule.fixture, doc).await;
        let posted = schedule.fixture.post(doc.endpoint(), body.clone()).await;
        let put = schedule.fixture.put(doc.endpoint(), schedule.documents.id(doc), body).await;
        for answer in [posted, put] {
            assert_eq!((answer.outcome, answer.version), (Outcome::Unchanged, version), "{doc:?}");
        }
    }
    turnstile.roll_back().await;
    assert_eq!(schedule.fixture.value::<String>(sql, &[]).await, before);
    schedule.observe().await;
    schedule.finish().await;
}

/// docs/design/rules.md#rule-3: while a cascade is open, preconditions and the responses of unchanged writes use the
/// effective version.
#[tokio::test(flavor = "multi_thread")]
async fn preconditions_compare_with_the_effective_version() {
    let mut schedule = Schedule::new(References::H).await;
    let old = schedule.version(R).await;
    let rename = schedule.start("A", Rename(H)).await;
    schedule.open("A").await;
    let effective = written(rename).await.version;
    let (version, body) = schedule.documents.body(&schedule.fixture, R).await;
    assert_eq!((version, schedule.fixture.cascades().await.len()), (effective, 1));
    let writer = Actor::new(&schedule.fixture, "writer").await;
    let (resource, id) = (writer.resource("rims"), schedule.documents.id(R));
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
    schedule.observe().await;
    schedule.finish().await;
}
