//! From rows to JSON: the small schema, exact bytes, and documents that cannot be composed.

mod support;

use millstream_store::compose::{ComposeProblem, compose_documents};
use millstream_store::load::{Caches, heads_by_id};
use serde_json::Value;
use support::{World, assert_same_document};

#[tokio::test]
async fn every_document_is_read_as_it_was_posted() {
    let world = World::new().await;
    let composed = world.compose_all().await;
    assert_eq!(composed.len(), world.planted.len());
    for (planted, composed) in world.planted.iter().zip(composed) {
        let body = composed.body.unwrap_or_else(|error| panic!("{error}"));
        let read: Value = serde_json::from_slice(&body).expect("valid JSON");
        assert_same_document(&planted.body, &read, world.type_of(planted));
    }
}

#[tokio::test]
async fn members_stand_in_compiled_order() {
    let world = World::new().await;
    let route = world.of_type("School").find(|planted| planted.body["schoolId"] == 710_001).expect("the school");
    let composed = world.compose(&[route.document_id]).await;
    let body = composed[0].body.as_ref().expect("a body");
    assert_eq!(String::from_utf8_lossy(body), include_str!("golden/school-710001.json").trim_end());
}

#[tokio::test]
async fn a_batch_is_answered_in_the_order_asked() {
    let world = World::new().await;
    let client = world.database().get().await.expect("connected");
    let ids: Vec<i64> = world.planted.iter().map(|planted| planted.document_id).collect();
    let mut heads = heads_by_id(&client, &ids).await.expect("heads");
    let straight =
        compose_documents(&client, &world.mapping, &Caches::default(), heads.clone()).await.expect("composed");
    heads.reverse();
    let reversed = compose_documents(&client, &world.mapping, &Caches::default(), heads).await.expect("composed");
    for (a, b) in straight.iter().zip(reversed.iter().rev()) {
        assert_eq!(a.head, b.head);
        assert_eq!(a.body.as_ref().ok(), b.body.as_ref().ok());
    }
}

#[tokio::test]
async fn a_document_whose_target_has_no_identity_fails_alone() {
    let world = World::new().await;
    let session = world.first("Session");
    world
        .damage(&format!(r#"DELETE FROM "dms"."ReferentialIdentity" WHERE "DocumentId" = {}"#, session.document_id))
        .await;
    let mut failed = 0;
    for (planted, composed) in world.planted.iter().zip(world.compose_all().await) {
        let refers = planted.body.to_string().contains("sessionReference")
            && planted.body["sessionReference"]["sessionName"] == session.body["sessionName"]
            && planted.body["sessionReference"]["schoolId"] == session.body["schoolReference"]["schoolId"]
            && planted.body["sessionReference"]["schoolYear"] == session.body["schoolYearTypeReference"]["schoolYear"];
        match composed.body {
            Ok(_) => assert!(!refers, "{}", planted.body),
            Err(error) => {
                assert!(refers, "{error}");
                assert_eq!((error.document_id, error.uuid), (planted.document_id, planted.uuid));
                let path = "$.sessionReference".to_owned();
                assert_eq!(error.problem, ComposeProblem::IdentityMissing { path, target: session.document_id });
                failed += 1;
            }
        }
    }
    assert!(failed > 0, "no document refers to the session");
}

#[tokio::test]
async fn dangling_descriptors_missing_roots_and_unknown_types_are_named() {
    let world = World::new().await;
    let (term, year, bus) = (world.first("TermDescriptor"), world.first("SchoolYearType"), world.first("Bus"));
    world
        .damage(&format!(
            r#"DELETE FROM "dms"."Descriptor" WHERE "DocumentId" = {};
               DELETE FROM "meadow"."SchoolYearType" WHERE "DocumentId" = {};
               UPDATE "dms"."Document" SET "ResourceKeyId" = 30000 WHERE "DocumentId" = {}"#,
            term.document_id, year.document_id, bus.document_id
        ))
        .await;
    let session = world.of_type("Session").find(|planted| {
        planted.body["termDescriptor"]
            .as_str()
            .is_some_and(|uri| uri.ends_with(term.body["codeValue"].as_str().unwrap_or("?")))
    });
    let session = session.expect("a session of the term");
    let unharmed = world.first("District");
    let ids = [term.document_id, year.document_id, bus.document_id, session.document_id, unharmed.document_id];
    let problems: Vec<_> =
        world.compose(&ids).await.into_iter().map(|c| c.body.err().map(|error| error.problem)).collect();
    let heads_order = {
        let mut order = ids;
        order.sort_unstable();
        order
    };
    let of = |id: i64| problems[heads_order.iter().position(|other| *other == id).expect("asked for")].clone();
    assert_eq!(
        of(term.document_id),
        Some(ComposeProblem::RootRowMissing { table: r#""dms"."Descriptor""#.to_owned() })
    );
    let table = r#""meadow"."SchoolYearType""#.to_owned();
    assert_eq!(of(year.document_id), Some(ComposeProblem::RootRowMissing { table }));
    assert_eq!(of(bus.document_id), Some(ComposeProblem::UnknownType(30_000)));
    let path = "$.termDescriptor".to_owned();
    assert_eq!(of(session.document_id), Some(ComposeProblem::DescriptorMissing { path, target: term.document_id }));
    assert_eq!(of(unharmed.document_id), None);
}

#[tokio::test]
async fn rows_below_no_row_are_never_left_out_silently() {
    let world = World::new().await;
    let school = world.first("School");
    world
        .damage(&format!(
            r#"INSERT INTO "meadow"."SchoolAddressPeriod" ("School_DocumentId", "AddressOrdinal", "Ordinal", "BeginDate")
               VALUES ({}, 99, 0, '2031-01-01')"#,
            school.document_id
        ))
        .await;
    for composed in world.compose_all().await {
        let problem = composed.body.err().map(|error| error.problem);
        let table = r#""meadow"."SchoolAddressPeriod""#.to_owned();
        let expected = (composed.head.uuid == school.uuid).then_some(ComposeProblem::OrphanRows { table });
        assert_eq!(problem, expected);
    }
}

#[tokio::test]
async fn only_what_cannot_change_is_remembered() {
    let world = World::new().await;
    let client = world.database().get().await.expect("connected");
    let caches = Caches::default();
    let offering = world.first("CourseOffering");
    let compose = async || {
        let heads = heads_by_id(&client, &[offering.document_id]).await.expect("heads");
        let composed = compose_documents(&client, &world.mapping, &caches, heads).await.expect("composed").remove(0);
        serde_json::from_slice::<Value>(&composed.body.expect("a body")).expect("JSON")
    };
    let before = compose().await;
    // Nothing does this to a school, whose identity cannot change: it only shows where the value came from.
    world
        .damage(
            r#"UPDATE "dms"."ReferentialIdentity" i SET "IdentityValues" = ARRAY['1', '2', 'Renamed']
                 FROM "meadow"."Session" s WHERE s."DocumentId" = i."DocumentId";
               UPDATE "dms"."ReferentialIdentity" i SET "IdentityValues" = ARRAY['77']
                 FROM "meadow"."School" s WHERE s."DocumentId" = i."DocumentId""#,
        )
        .await;
    let after = compose().await;
    assert_eq!(after["sessionReference"]["sessionName"], "Renamed");
    assert_eq!(after["schoolReference"], before["schoolReference"]);
}

#[tokio::test]
async fn an_open_cascade_raises_the_version_until_the_stamp() {
    let world = World::new().await;
    let client = world.database().get().await.expect("connected");
    let session = world.first("Session");
    let offering = world.first("CourseOffering");
    let heads = async |what: &str| {
        let ids = [session.document_id, offering.document_id];
        heads_by_id(&client, &ids).await.unwrap_or_else(|error| panic!("{what}: {error}"))
    };
    let before = heads("before").await;
    assert!(before.iter().all(|head| head.effective_version == head.content_version && !head.is_overtaken()));
    client
        .execute(
            r#"INSERT INTO "dms"."Cascade" ("DocumentId", "ContentVersion", "TransactionId", "OpenedAt")
               VALUES ($1, 900000, pg_current_xact_id(), '2032-01-01T00:00:00Z')"#,
            &[&session.document_id],
        )
        .await
        .expect("opened");
    let open = heads("open").await;
    assert_eq!(open[0], before[0], "the renamed document itself has its own version");
    assert_eq!((open[1].content_version, open[1].effective_version), (before[1].content_version, 900_000));
    assert!(open[1].is_overtaken());
    assert_eq!(open[1].last_modified.to_string(), "2032-01-01T00:00:00Z");
    let stamp = r#"UPDATE "dms"."Document" SET "ContentVersion" = 900000,
                   "LastModifiedAt" = greatest("LastModifiedAt", '2032-01-01T00:00:00Z') WHERE "DocumentId" = $1"#;
    client.execute(stamp, &[&offering.document_id]).await.expect("stamped");
    let stamped = heads("stamped").await;
    assert!(!stamped[1].is_overtaken());
    assert_eq!((stamped[1].effective_version, stamped[1].last_modified), (900_000, open[1].last_modified));
}
