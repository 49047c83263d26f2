//! The audit finds what is wrong, names it, and finds nothing where nothing is wrong.

mod support;

use millstream_store::verify::{DifferenceKind, Report, VerifyOptions, verify};
use support::World;

async fn audit(world: &World) -> Report {
    let mut seen = 0;
    // Ranges smaller than the data, so that references cross them.
    let options = VerifyOptions { range_documents: 50, ..VerifyOptions::default() };
    let mut progress = |so_far: &Report| {
        assert!(so_far.documents > seen, "progress moves");
        seen = so_far.documents;
    };
    let report = verify(world.database(), &world.mapping, &options, &mut progress).await.expect("audited");
    assert_eq!(report.documents, seen);
    report
}

#[tokio::test]
async fn a_right_database_is_clean() {
    let world = World::cached().await;
    let report = audit(&world).await;
    assert!(report.is_clean(), "{report:#?}");
    assert_eq!(report.documents, world.planted.len() as u64);
    assert!(report.rows > report.documents);
}

#[tokio::test]
async fn what_is_not_cached_yet_is_behind_and_not_different() {
    let world = World::cached().await;
    let (school, bus) = (world.first("School"), world.first("Bus"));
    world
        .damage(&format!(
            r#"DELETE FROM "dms"."DocumentCache" WHERE "DocumentId" = {};
               UPDATE "dms"."Document" SET "ContentVersion" = "ContentVersion" + 1 WHERE "DocumentId" = {}"#,
            school.document_id, bus.document_id
        ))
        .await;
    let report = audit(&world).await;
    assert!(!report.is_clean());
    assert_eq!((report.behind, report.difference_count()), (2, 0), "{report:#?}");
    let mut behind: Vec<_> = report.behind_examples.iter().map(|example| example.uuid).collect();
    behind.sort();
    let mut expected = [school.uuid, bus.uuid];
    expected.sort();
    assert_eq!(behind, expected);
}

#[tokio::test]
async fn an_open_cascade_leaves_its_referrers_behind() {
    let world = World::cached().await;
    let session = world.first("Session").document_id;
    world.damage(&format!(r#"INSERT INTO "dms"."Cascade" ("DocumentId", "ContentVersion", "TransactionId", "OpenedAt") VALUES ({session}, 900000, pg_current_xact_id(), now())"#)).await;
    let client = world.database().get().await.expect("connected");
    let sql = r#"SELECT count(*) FROM "dms"."ReferenceEdge" WHERE "ChildDocumentId" = $1"#;
    let referrers: i64 = client.query_one(sql, &[&session]).await.expect("counted").get(0);
    let report = audit(&world).await;
    assert_eq!(report.behind, referrers.unsigned_abs());
    assert!(referrers > 0 && report.differences.is_empty(), "{report:#?}");
}

/// Damages one thing and holds what the audit finds against it: exactly these kinds, exactly about this document.
async fn finds(kinds: &[DifferenceKind], resource: &str, sql: &str) {
    let world = World::cached().await;
    let planted = world.first(resource);
    world.damage(&sql.replace("{id}", &planted.document_id.to_string())).await;
    let report = audit(&world).await;
    let found: Vec<DifferenceKind> = report.differences.keys().copied().collect();
    assert_eq!(found, kinds, "after {sql}: {report:#?}");
    for (kind, differences) in &report.differences {
        assert!(differences.count >= 1 && !differences.examples.is_empty(), "{kind}");
        let about = differences.examples.iter().any(|example| example.uuid == planted.uuid);
        assert!(about, "after {sql}: {kind} is not about {}: {differences:?}", planted.uuid);
    }
}

#[tokio::test]
async fn damaged_identities_are_found() {
    use DifferenceKind as Kind;
    let of = r#""dms"."ReferentialIdentity""#;
    finds(
        &[Kind::IdentityMissing],
        "StudentSectionAssociation",
        &format!(r#"DELETE FROM {of} WHERE "DocumentId" = {{id}}"#),
    )
    .await;
    // An alias of a subclass document.
    let alias = format!(
        r#"DELETE FROM {of} i USING "dms"."Document" d WHERE d."DocumentId" = i."DocumentId" AND i."DocumentId" = {{id}} AND i."ResourceKeyId" <> d."ResourceKeyId""#
    );
    finds(&[Kind::IdentityMissing], "School", &alias).await;
    let wrong_id = format!(r#"UPDATE {of} SET "ReferentialId" = gen_random_uuid() WHERE "DocumentId" = {{id}}"#);
    finds(&[Kind::ReferentialId], "StudentSectionAssociation", &wrong_id).await;
    let values = format!(r#"UPDATE {of} SET "IdentityValues"[1] = '2001-01-01' WHERE "DocumentId" = {{id}}"#);
    finds(&[Kind::IdentityValues], "StudentSectionAssociation", &values).await;
    let extra = format!(r#"INSERT INTO {of} SELECT gen_random_uuid(), {{id}}, 1, '{{}}'"#);
    finds(&[Kind::IdentityUnexpected], "StudentSectionAssociation", &extra).await;
}

#[tokio::test]
async fn a_rename_that_stopped_half_way_is_found_in_every_dependent() {
    let world = World::cached().await;
    let session = world.first("Session");
    // The row says one thing; stored identities and bodies, consistent among themselves, say another.
    world
        .damage(&format!(
            r#"UPDATE "meadow"."Session" SET "SessionName" = 'Autumn' WHERE "DocumentId" = {}"#,
            session.document_id
        ))
        .await;
    let report = audit(&world).await;
    let count = |kind| report.differences.get(&kind).map_or(0, |found| found.count);
    assert_eq!(count(DifferenceKind::CacheBody), 1, "only the session's own body reads its own row: {report:#?}");
    let client = world.database().get().await.expect("connected");
    let closure = r#"WITH RECURSIVE up AS (SELECT $1::int8 AS id UNION
        SELECT e."ParentDocumentId" FROM "dms"."ReferenceEdge" e JOIN up ON e."ChildDocumentId" = up.id WHERE e."IsIdentityComponent")
        SELECT count(*) FROM up"#;
    let closure: i64 = client.query_one(closure, &[&session.document_id]).await.expect("counted").get(0);
    assert!(closure > 2, "sections depend on the session");
    assert_eq!(count(DifferenceKind::IdentityValues), closure.unsigned_abs());
    assert_eq!(count(DifferenceKind::ReferentialId), closure.unsigned_abs());
}

#[tokio::test]
async fn damaged_edges_are_found() {
    use DifferenceKind as Kind;
    let of = r#""dms"."ReferenceEdge""#;
    finds(
        &[Kind::EdgeMissing],
        "StudentSectionAssociation",
        &format!(r#"DELETE FROM {of} WHERE "ParentDocumentId" = {{id}}"#),
    )
    .await;
    let flag = format!(
        r#"UPDATE {of} SET "IsIdentityComponent" = NOT "IsIdentityComponent" WHERE "ParentDocumentId" = {{id}}"#
    );
    finds(&[Kind::EdgeFlag], "StudentSectionAssociation", &flag).await;
    let extra = format!(r#"INSERT INTO {of} SELECT {{id}}, min("DocumentId"), false FROM "meadow"."District""#);
    finds(&[Kind::EdgeUnexpected], "StudentSectionAssociation", &extra).await;
}

#[tokio::test]
async fn references_to_the_wrong_type_are_found() {
    let world = World::cached().await;
    let program = world.first("Program");
    let student = world.first("Student");
    // An abstract reference has its foreign key on dms.Document: only the audit detects that a student is not an
    // organization.
    world
        .damage(&format!(
            r#"UPDATE "meadow"."Program" SET "EducationOrganization_DocumentId" = {student} WHERE "DocumentId" = {program};
               UPDATE "dms"."ReferenceEdge" SET "ChildDocumentId" = {student} WHERE "ParentDocumentId" = {program};
               UPDATE "meadow"."Session" SET "Term_DescriptorId" = (SELECT min("DocumentId") FROM "dms"."Descriptor" WHERE "Uri" LIKE '%GradeLevel%')
                WHERE "DocumentId" = {session}"#,
            student = student.document_id,
            program = program.document_id,
            session = world.first("Session").document_id
        ))
        .await;
    let report = audit(&world).await;
    let count = |kind| report.differences.get(&kind).map_or(0, |found| found.count);
    assert_eq!(count(DifferenceKind::ReferenceType), 1, "{report:#?}");
    assert_eq!(count(DifferenceKind::DescriptorType), 1, "{report:#?}");
}

#[tokio::test]
async fn damaged_cache_rows_are_found() {
    use DifferenceKind as Kind;
    let of = r#""dms"."DocumentCache""#;
    let body = format!(r#"UPDATE {of} SET "Body" = replace("Body", '"', '"x') WHERE "DocumentId" = {{id}}"#);
    finds(&[Kind::CacheBody, Kind::CacheHash], "School", &body).await;
    finds(&[Kind::CacheHash], "School", &format!(r#"UPDATE {of} SET "BodyHash" = '\x01' WHERE "DocumentId" = {{id}}"#))
        .await;
    let ahead = format!(r#"UPDATE {of} SET "ContentVersion" = "ContentVersion" + 1 WHERE "DocumentId" = {{id}}"#);
    finds(&[Kind::CacheAhead], "School", &ahead).await;
    let time = format!(r#"UPDATE {of} SET "LastModifiedAt" = now() WHERE "DocumentId" = {{id}}"#);
    finds(&[Kind::CacheHead], "School", &time).await;
}

#[tokio::test]
async fn damaged_documents_are_found() {
    use DifferenceKind as Kind;
    let lock = r#"DELETE FROM "dms"."IdentityLock" WHERE "DocumentId" = {id}"#;
    finds(&[Kind::IdentityLockMissing], "Session", lock).await;
    let tombstone = r#"INSERT INTO "dms"."Tombstone" SELECT "DocumentUuid", "DocumentId", "ResourceKeyId", 1, '{}', now() FROM "dms"."Document" WHERE "DocumentId" = {id}"#;
    finds(&[Kind::TombstoneOfLiving], "Student", tombstone).await;
    let uri = r#"UPDATE "dms"."Descriptor" SET "UriLower" = 'uri://elsewhere#x' WHERE "DocumentId" = {id}"#;
    finds(&[Kind::DescriptorColumns], "AddressTypeDescriptor", uri).await;
    let misplaced = r#"INSERT INTO "brook"."Bus" ("DocumentId", "BusId", "Seats") VALUES ({id}, 'BUS-X', 1)"#;
    finds(&[Kind::RootRowMisplaced], "StudentSectionAssociation", misplaced).await;
    // A document without a root row has no identity and no edges either.
    let root = r#"DELETE FROM "brook"."StudentGardeningProgramAssociation" WHERE "DocumentId" = {id};
                  DELETE FROM "dms"."ReferenceEdge" WHERE "ParentDocumentId" = {id}"#;
    let kinds = [Kind::RootRowMissing, Kind::IdentityUncomputable];
    finds(&kinds, "StudentGardeningProgramAssociation", root).await;
}

#[tokio::test]
async fn rows_of_no_document_are_found() {
    let world = World::cached().await;
    let planted = world.first("Student");
    let damages = [
        r#"INSERT INTO "dms"."ReferentialIdentity" SELECT gen_random_uuid(), 999999, "ResourceKeyId", "IdentityValues" FROM "dms"."ReferentialIdentity" WHERE "DocumentId" = {id}"#,
        r#"INSERT INTO "dms"."ReferenceEdge" VALUES (999999, {id}, false)"#,
        r#"INSERT INTO "dms"."IdentityLock" VALUES (999999)"#,
        r#"INSERT INTO "dms"."DocumentCache" SELECT 999999, gen_random_uuid(), "ResourceKeyId", "ContentVersion", "LastModifiedAt", "Body", "BodyHash", "ComputedAt" FROM "dms"."DocumentCache" WHERE "DocumentId" = {id}"#,
        r#"INSERT INTO "brook"."Bus" ("DocumentId", "BusId", "Seats") VALUES (999999, 'BUS-X', 1)"#,
        r#"INSERT INTO "meadow"."StudentOtherName" VALUES (999999, 0, 'Nemo')"#,
        r#"INSERT INTO "meadow"."StudentOtherNameLanguage" VALUES (999999, 0, 0, 'en'), (999999, 0, 1, 'fr')"#,
    ];
    for damage in damages {
        world.damage(&damage.replace("{id}", &planted.document_id.to_string())).await;
    }
    let report = audit(&world).await;
    let found: Vec<DifferenceKind> = report.differences.keys().copied().collect();
    assert_eq!(found, [DifferenceKind::RowOfNoDocument], "{report:#?}");
    let orphans = &report.differences[&DifferenceKind::RowOfNoDocument];
    assert_eq!(orphans.count, damages.len() as u64, "{orphans:#?}");
    let told = |text: &str| orphans.examples.iter().any(|example| example.found.contains(text));
    assert!(told("2 row(s) in \"meadow\".\"StudentOtherNameLanguage\""), "{orphans:#?}");
}
