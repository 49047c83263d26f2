//! Reads of the API: from the cache when it is current, from the tables when it is not, the same bytes either way.

mod support;

use millstream_pipeline::memory::MemoryBudget;
use millstream_store::load::Caches;
use millstream_store::query::{QueryError, QueryRequest};
use millstream_store::read::{Page, ReadDocument, ReadError, get, page};
use serde_json::Value;
use std::collections::BTreeSet;
use support::{World, resource};
use uuid::Uuid;

async fn read(world: &World, name: &str, uuid: Uuid) -> Option<ReadDocument> {
    let ix = resource(&world.mapping, name);
    get(world.database(), &world.mapping, &Caches::default(), &MemoryBudget::default(), ix, uuid)
        .await
        .unwrap_or_else(|error| panic!("{error:?}"))
}

async fn try_query(world: &World, name: &str, request: &QueryRequest) -> Result<Page, ReadError> {
    let ix = resource(&world.mapping, name);
    page(world.database(), &world.mapping, &Caches::default(), &MemoryBudget::default(), ix, request).await
}

async fn query(world: &World, name: &str, request: &QueryRequest) -> Page {
    try_query(world, name, request).await.unwrap_or_else(|error| panic!("{name} {request:?}: {error:?}"))
}

fn everything() -> QueryRequest {
    QueryRequest { limit: 10_000, ..QueryRequest::default() }
}

fn filter(field: &str, value: &str) -> QueryRequest {
    QueryRequest { filters: vec![(field.to_owned(), value.to_owned())], ..everything() }
}

fn bytes(document: &ReadDocument) -> Vec<u8> {
    let mut out = Vec::new();
    document.append_to(&mut out);
    out
}

fn uuids(page: &Page) -> Vec<Uuid> {
    page.documents.iter().map(|document| document.uuid).collect()
}

/// The documents of a type, in the order in which they are served.
fn expected(world: &World, name: &str) -> Vec<Uuid> {
    world.of_type(name).map(|planted| planted.uuid).collect()
}

#[tokio::test]
async fn composed_and_cached_answers_are_the_same_bytes() {
    let (fresh, cached) = (World::new().await, World::cached().await);
    for planted in &fresh.planted {
        let name = fresh.type_of(planted);
        let from_tables = read(&fresh, name, planted.uuid).await.expect("there");
        let from_cache = read(&cached, name, planted.uuid).await.expect("there");
        assert!(!from_tables.from_cache && from_cache.from_cache);
        assert_eq!(bytes(&from_tables), bytes(&from_cache));
        let answer: Value = serde_json::from_slice(&bytes(&from_cache)).expect("JSON");
        let names: Vec<&String> = answer.as_object().expect("an object").keys().take(3).collect();
        assert_eq!(names, ["id", "_etag", "_lastModifiedDate"]);
        assert_eq!(answer["id"], planted.uuid.to_string());
        assert_eq!(answer["_etag"], planted.version.to_string());
        assert_eq!(answer["_lastModifiedDate"], "2031-08-20T09:15:00Z");
    }
}

#[tokio::test]
async fn an_id_of_another_type_or_of_nothing_is_not_found() {
    let world = World::cached().await;
    let school = world.first("School");
    assert!(read(&world, "School", school.uuid).await.is_some());
    assert!(read(&world, "District", school.uuid).await.is_none());
    assert!(read(&world, "School", Uuid::from_u128(1)).await.is_none());
}

#[tokio::test]
async fn an_old_cached_body_is_never_served() {
    let world = World::cached().await;
    let school = world.first("School");
    world
        .execute(&format!(
            r#"UPDATE "meadow"."School" SET "NameOfInstitution" = 'New name' WHERE "DocumentId" = {id};
               UPDATE "dms"."Document" SET "ContentVersion" = 700000 WHERE "DocumentId" = {id}"#,
            id = school.document_id
        ))
        .await;
    let answer = read(&world, "School", school.uuid).await.expect("there");
    assert_eq!((answer.version, answer.from_cache), (700_000, false));
    assert!(String::from_utf8_lossy(&answer.body).contains("New name"));
    let page = query(&world, "School", &everything()).await;
    let found = page.documents.iter().find(|document| document.uuid == school.uuid).expect("on the page");
    assert_eq!(bytes(found), bytes(&answer));
    assert_eq!(page.documents.iter().filter(|document| !document.from_cache).count(), 1);
}

#[tokio::test]
async fn an_open_cascade_shows_the_new_identity_under_its_version() {
    let world = World::cached().await;
    let (session, offering) = (world.first("Session"), world.first("CourseOffering"));
    let before = read(&world, "CourseOffering", offering.uuid).await.expect("there");
    // The rows that a rename writes in its own transaction, with the referrers left to the cascade.
    world
        .execute(&format!(
            r#"BEGIN;
               UPDATE "meadow"."Session" SET "SessionName" = 'Autumn' WHERE "DocumentId" = {id};
               UPDATE "dms"."ReferentialIdentity" SET "IdentityValues"[3] = 'Autumn' WHERE "DocumentId" = {id};
               UPDATE "dms"."Document" SET "ContentVersion" = 800000 WHERE "DocumentId" = {id};
               INSERT INTO "dms"."Cascade" ("DocumentId", "ContentVersion", "TransactionId", "OpenedAt")
               VALUES ({id}, 800000, pg_current_xact_id(), '2032-02-02T02:02:02Z'); COMMIT"#,
            id = session.document_id
        ))
        .await;
    let after = read(&world, "CourseOffering", offering.uuid).await.expect("there");
    assert_eq!((after.version, after.from_cache), (800_000, false));
    assert!(after.version > before.version);
    assert_eq!(after.last_modified.to_string(), "2032-02-02T02:02:02Z");
    let body: Value = serde_json::from_slice(&after.body).expect("JSON");
    assert_eq!(body["sessionReference"]["sessionName"], "Autumn");
    // Who has no edge to it is not concerned.
    assert!(read(&world, "School", world.first("School").uuid).await.expect("there").from_cache);
}

#[tokio::test]
async fn pages_meet_end_to_end() {
    let world = World::cached().await;
    for name in ["School", "StudentSectionAssociation", "GradeLevelDescriptor", "Student"] {
        let all = expected(&world, name);
        assert_eq!(uuids(&query(&world, name, &everything()).await), all, "{name}");
        let mut by_offset = Vec::new();
        let mut by_token = Vec::new();
        let mut token = None;
        for at in (0..all.len()).step_by(3) {
            let request = QueryRequest { limit: 3, offset: at as u64, total_count: true, ..QueryRequest::default() };
            let page = query(&world, name, &request).await;
            assert_eq!(page.total, Some(all.len() as i64));
            by_offset.extend(uuids(&page));
            let request = QueryRequest { limit: 3, page_token: token.take(), ..QueryRequest::default() };
            let page = query(&world, name, &request).await;
            assert_eq!(page.total, None);
            by_token.extend(uuids(&page));
            token = page.next_page_token;
            assert_eq!(token.is_some(), page.documents.len() == 3, "a page that is not full is the last");
        }
        assert_eq!((by_offset, by_token), (all.clone(), all), "{name}");
    }
}

#[tokio::test]
async fn the_edges_of_paging() {
    let world = World::new().await;
    let total = expected(&world, "School").len() as i64;
    let none = QueryRequest { limit: 0, total_count: true, ..QueryRequest::default() };
    let page = query(&world, "School", &none).await;
    assert_eq!((page.documents.len(), page.total, page.next_page_token), (0, Some(total), None));
    let beyond = QueryRequest { limit: 5, offset: u64::MAX, total_count: true, ..QueryRequest::default() };
    let page = query(&world, "School", &beyond).await;
    assert_eq!((page.documents.len(), page.total), (0, Some(total)));
    let school = query(&world, "School", &QueryRequest { limit: 1, ..QueryRequest::default() }).await;
    let foreign = QueryRequest { limit: 1, page_token: school.next_page_token, ..QueryRequest::default() };
    for request in [foreign, QueryRequest { page_token: Some("nonsense".to_owned()), ..everything() }] {
        let refused = try_query(&world, "District", &request).await;
        assert!(matches!(refused, Err(ReadError::Query(QueryError::BadPageToken))), "{refused:?}");
    }
}

fn value_at<'a>(body: &'a Value, path: &str) -> Option<&'a Value> {
    path.strip_prefix("$.")?.split('.').try_fold(body, |value, name| value.get(name))
}

fn as_text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Every query field of every type, with every value that occurs: the answer is what a look at the bodies says.
#[tokio::test]
async fn every_query_field_finds_what_the_bodies_say() {
    let world = World::cached().await;
    let mut asked = 0;
    for (_, plan) in world.mapping.iter() {
        let documents: Vec<_> = world.of_type(&plan.resource_name).collect();
        for field in plan.query_fields.values().filter(|field| field.name != "id") {
            let is_descriptor = field.paths.iter().any(|path| path.path.ends_with("Descriptor"));
            let values = |body: &Value| -> BTreeSet<String> {
                let texts = field.paths.iter().filter_map(|path| value_at(body, &path.path)).map(as_text);
                texts.map(|text| if is_descriptor { text.to_lowercase() } else { text }).collect()
            };
            let occurring: BTreeSet<String> = documents.iter().flat_map(|planted| values(&planted.body)).collect();
            for value in occurring {
                let expected: Vec<Uuid> = documents
                    .iter()
                    .filter(|planted| values(&planted.body).contains(&value))
                    .map(|planted| planted.uuid)
                    .collect();
                let request = QueryRequest { total_count: true, ..filter(&field.name.to_uppercase(), &value) };
                let found = query(&world, &plan.resource_name, &request).await;
                assert_eq!(uuids(&found), expected, "{} {} = {value}", plan.resource_name, field.name);
                assert_eq!(found.total, Some(expected.len() as i64));
                asked += 1;
            }
        }
    }
    assert!(asked > 200, "only {asked} queries");
}

#[tokio::test]
async fn filters_are_combined_and_ids_can_be_asked_for() {
    let world = World::cached().await;
    let session = world.first("Session");
    let name = as_text(&session.body["sessionName"]);
    let school = as_text(&session.body["schoolReference"]["schoolId"]);
    let filters = vec![("sessionName".to_owned(), name.clone()), ("schoolId".to_owned(), format!("{school}.0"))];
    let both = query(&world, "Session", &QueryRequest { filters, ..everything() }).await;
    let expected: Vec<Uuid> = world
        .of_type("Session")
        .filter(|s| {
            as_text(&s.body["sessionName"]) == name && as_text(&s.body["schoolReference"]["schoolId"]) == school
        })
        .map(|s| s.uuid)
        .collect();
    assert_eq!(uuids(&both), expected);
    assert_eq!(uuids(&query(&world, "Session", &filter("id", &session.uuid.to_string())).await), [session.uuid]);
    let other = world.first("Student").uuid.to_string();
    for nothing in [other.as_str(), "no uuid"] {
        assert!(query(&world, "Session", &filter("id", nothing)).await.documents.is_empty());
    }
}

#[tokio::test]
async fn descriptors_are_matched_ignoring_case() {
    let world = World::cached().await;
    let session = world.first("Session");
    let uri = as_text(&session.body["termDescriptor"]);
    let exact = uuids(&query(&world, "Session", &filter("termDescriptor", &uri)).await);
    assert!(exact.contains(&session.uuid));
    assert_eq!(uuids(&query(&world, "Session", &filter("termDescriptor", &uri.to_uppercase())).await), exact);
    assert!(query(&world, "Session", &filter("termDescriptor", "uri://nowhere#x")).await.documents.is_empty());
}

#[tokio::test]
async fn values_that_match_nothing_give_an_empty_page() {
    let world = World::cached().await;
    for (name, field, value) in [
        ("School", "nameOfInstitution", "a\0b"),
        ("School", "schoolId", "99999999999999999999"),
        ("Session", "totalInstructionalDays", "80.5"),
        ("Session", "totalInstructionalDays", "99999999999"),
        ("Student", "heightInCentimeters", "1e50"),
    ] {
        let request = QueryRequest { total_count: true, ..filter(field, value) };
        let page = query(&world, name, &request).await;
        assert_eq!((page.documents.len(), page.total), (0, Some(0)), "{field}={value}");
    }
}

#[tokio::test]
async fn bad_queries_are_refused_and_named() {
    let world = World::new().await;
    let refused = try_query(&world, "School", &filter("shoeSize", "44")).await;
    assert!(
        matches!(&refused, Err(ReadError::Query(QueryError::UnknownField { field })) if field == "shoeSize"),
        "{refused:?}"
    );
    for (name, field, value) in [
        ("School", "schoolId", "seven"),
        ("School", "acceptsTransfers", "maybe"),
        ("Session", "beginDate", "2031-02-30"),
        ("Session", "dailyStartTime", "8:15"),
        ("Student", "recordCreatedAt", "yesterday"),
        ("Student", "heightInCentimeters", "tall"),
    ] {
        let refused = try_query(&world, name, &filter(&field.to_lowercase(), value)).await;
        let named = matches!(&refused, Err(ReadError::Query(QueryError::BadValue { field: f, value: v, .. })) if f == field && v == value);
        assert!(named, "{field}={value}: {refused:?}");
    }
}

#[tokio::test]
async fn a_document_that_cannot_be_composed_says_so() {
    let world = World::new().await;
    let (session, offering) = (world.first("Session"), world.first("CourseOffering"));
    world
        .damage(&format!(r#"DELETE FROM "dms"."ReferentialIdentity" WHERE "DocumentId" = {}"#, session.document_id))
        .await;
    let ix = resource(&world.mapping, "CourseOffering");
    let refused =
        get(world.database(), &world.mapping, &Caches::default(), &MemoryBudget::default(), ix, offering.uuid).await;
    assert!(matches!(&refused, Err(ReadError::Compose(error)) if error.uuid == offering.uuid), "{refused:?}");
    // The pooled connection is fit for the next reader.
    assert!(read(&world, "School", world.first("School").uuid).await.is_some());
}
