//! Storing bodies: only newer ones, never under a version that they do not have.

mod support;

use millstream_store::compose::body_hash;
use millstream_store::table::cache::{CacheOutcome, CacheRow, SameVersion, upsert};
use support::World;

/// Version, body and hash that the cache holds of a document.
async fn cached(world: &World, document_id: i64) -> Option<(i64, String, Vec<u8>)> {
    let client = world.database().get().await.expect("connected");
    let sql = r#"SELECT "ContentVersion", "Body", "BodyHash" FROM "dms"."DocumentCache" WHERE "DocumentId" = $1"#;
    let row = client.query_opt(sql, &[&document_id]).await.expect("read")?;
    Some((row.get(0), row.get(1), row.get(2)))
}

#[tokio::test]
async fn a_body_is_stored_once_and_with_its_hash() {
    let world = World::new().await;
    let composed = world.compose_all().await;
    let first = world.store(&composed, SameVersion::Keep).await;
    assert!(first.iter().all(|outcome| *outcome == CacheOutcome::Stored), "{first:?}");
    let again = world.store(&composed, SameVersion::Repair).await;
    assert!(again.iter().all(|outcome| *outcome == CacheOutcome::Unchanged), "{again:?}");
    for composed in &composed {
        let body = composed.body.as_ref().expect("a body");
        let (version, stored, hash) = cached(&world, composed.head.document_id).await.expect("cached");
        assert_eq!((version, stored.as_bytes()), (composed.head.content_version, body.as_slice()));
        assert_eq!(hash, body_hash(body));
    }
}

#[tokio::test]
async fn an_older_body_never_replaces_a_newer_one() {
    let world = World::cached().await;
    let school = world.first("School").document_id;
    let old = world.compose(&[school]).await;
    world
        .execute(&format!(r#"UPDATE "dms"."Document" SET "ContentVersion" = 500000 WHERE "DocumentId" = {school}"#))
        .await;
    // The document has moved on: what was composed before is superseded, and so is the version that was never cached.
    assert_eq!(world.store(&old, SameVersion::Repair).await, [CacheOutcome::Superseded]);
    let new = world.compose(&[school]).await;
    assert_eq!(world.store(&new, SameVersion::Keep).await, [CacheOutcome::Stored]);
    assert_eq!(world.store(&old, SameVersion::Repair).await, [CacheOutcome::Superseded]);
    assert_eq!(cached(&world, school).await.expect("cached").0, 500_000);
}

#[tokio::test]
async fn a_deleted_document_is_not_cached_again() {
    let world = World::cached().await;
    let association = world.first("StudentSectionAssociation").document_id;
    let composed = world.compose(&[association]).await;
    world.execute(&format!(r#"DELETE FROM "dms"."Document" WHERE "DocumentId" = {association}"#)).await;
    assert_eq!(cached(&world, association).await, None, "the cache row goes with the document");
    assert_eq!(world.store(&composed, SameVersion::Keep).await, [CacheOutcome::Superseded]);
    assert_eq!(cached(&world, association).await, None);
}

#[tokio::test]
async fn a_damaged_body_is_repaired_only_when_asked() {
    let world = World::cached().await;
    let ids = [world.first("School").document_id, world.first("Bus").document_id];
    let composed = world.compose(&ids).await;
    world.execute(&format!(r#"UPDATE "dms"."DocumentCache" SET "Body" = '{{"damaged":1}}', "BodyHash" = '\x00' WHERE "DocumentId" = {}"#, ids[0])).await;
    let mut expected = [CacheOutcome::Unchanged, CacheOutcome::Unchanged];
    let at = composed.iter().position(|composed| composed.head.document_id == ids[0]).expect("asked for");
    expected[at] = CacheOutcome::Differs;
    assert_eq!(world.store(&composed, SameVersion::Keep).await, expected);
    expected[at] = CacheOutcome::Repaired;
    assert_eq!(world.store(&composed, SameVersion::Repair).await, expected);
    let (_, body, hash) = cached(&world, ids[0]).await.expect("cached");
    assert_eq!(body.as_bytes(), composed[at].body.as_ref().expect("a body").as_slice());
    assert_eq!(hash, body_hash(body.as_bytes()));

    // Damage that left the hash alone is found as well.
    world
        .execute(&format!(r#"UPDATE "dms"."DocumentCache" SET "Body" = '{{}}' WHERE "DocumentId" = {}"#, ids[0]))
        .await;
    assert_eq!(world.store(&composed, SameVersion::Repair).await, expected);
    assert_eq!(cached(&world, ids[0]).await.expect("cached").1, body);
}

#[tokio::test]
async fn a_body_whose_version_was_overtaken_by_a_cascade_is_not_stored() {
    let world = World::cached().await;
    let (session, offering) = (world.first("Session").document_id, world.first("CourseOffering").document_id);
    world.execute(&format!(r#"INSERT INTO "dms"."Cascade" ("DocumentId", "ContentVersion", "TransactionId", "OpenedAt") VALUES ({session}, 900000, pg_current_xact_id(), now());
        DELETE FROM "dms"."DocumentCache""#)).await;
    let composed = world.compose(&[offering]).await;
    assert!(composed[0].head.is_overtaken());
    assert_eq!(world.store(&composed, SameVersion::Keep).await, [CacheOutcome::Superseded]);
    assert_eq!(cached(&world, offering).await, None);
}

#[tokio::test]
async fn of_several_bodies_of_one_document_the_newest_is_stored() {
    let world = World::new().await;
    let school = world.first("School").document_id;
    let composed = world.compose(&[school]).await.remove(0);
    let body = composed.body.expect("a body");
    let mut older = composed.head.clone();
    older.content_version -= 1;
    older.effective_version -= 1;
    let rows = [CacheRow { head: &older, body: b"{}" }, CacheRow { head: &composed.head, body: &body }];
    let client = world.database().get().await.expect("connected");
    let outcomes = upsert(&client, &rows, SameVersion::Keep).await.expect("stored");
    assert_eq!(outcomes, [CacheOutcome::Superseded, CacheOutcome::Stored]);
    assert_eq!(cached(&world, school).await.expect("cached").0, composed.head.content_version);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_stores_of_the_same_documents_do_not_deadlock() {
    let world = World::new().await;
    let composed = world.compose_all().await;
    let mut reversed = world.compose_all().await;
    reversed.reverse();
    for _ in 0..20 {
        world.execute(r#"DELETE FROM "dms"."DocumentCache""#).await;
        let (a, b) = tokio::join!(world.store(&composed, SameVersion::Keep), world.store(&reversed, SameVersion::Keep));
        for (a, b) in a.iter().zip(b.iter().rev()) {
            let stored = [a, b].into_iter().filter(|outcome| **outcome == CacheOutcome::Stored).count();
            let unchanged = [a, b].into_iter().filter(|outcome| **outcome == CacheOutcome::Unchanged).count();
            assert_eq!((stored, unchanged), (1, 1), "{a:?} {b:?}");
        }
    }
}
