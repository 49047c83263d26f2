//! Documents written and read by id.

use crate::site::{Answer, Site};
use axum::body::Body;
use axum::http::StatusCode;
use millstream_testkit::World;
use serde_json::{Value, json};

const JSON: (&str, &str) = ("content-type", "application/json");
const STUDENTS: &str = "/data/meadow/students";

fn student(id: &str) -> Value {
    json!({"studentUniqueId": id, "firstName": "Ada", "lastSurname": "Abara", "birthData": {"birthDate": "2014-01-01"}})
}

async fn create(site: &Site, collection: &str, body: &Value) -> Answer {
    let answer = site.post(collection, body.to_string().as_bytes()).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
    answer
}

/// Compares except for what a round trip may change (docs/design/rules.md#rule-27): the order of members, the spelling of
/// numbers, the case of descriptor URIs. The caller removes the server members of `read`.
fn is_same(posted: &Value, read: &Value) -> bool {
    match (posted, read) {
        (Value::Object(posted), Value::Object(read)) => {
            posted.len() == read.len()
                && posted.iter().all(|(name, value)| read.get(name).is_some_and(|other| is_same(value, other)))
        }
        (Value::Array(posted), Value::Array(read)) => {
            posted.len() == read.len() && posted.iter().zip(read).all(|(posted, read)| is_same(posted, read))
        }
        (Value::Number(posted), Value::Number(read)) => posted.as_f64() == read.as_f64(),
        (Value::String(posted), Value::String(read)) if posted.starts_with("uri://") => {
            posted.eq_ignore_ascii_case(read)
        }
        (posted, read) => posted == read,
    }
}

fn without_server_members(mut document: Value) -> Value {
    for member in ["id", "_etag", "_lastModifiedDate"] {
        document.as_object_mut().and_then(|document| document.shift_remove(member)).expect("a server member");
    }
    document
}

#[tokio::test]
async fn what_is_posted_is_what_is_read() {
    let site = Site::of(World::fixtures()).await;
    let documents = site.fixture_documents();
    assert!(documents.len() > 200, "{}", documents.len());
    for document in &documents {
        let collection = format!("/data/{}/{}", document.project, document.resource);
        let created = site.post(&collection, document.body()).await;
        assert_eq!(created.status, StatusCode::CREATED, "{created:?}");
        let read = site.get(&created.location()).await;
        assert_eq!((read.status, read.etag()), (StatusCode::OK, created.etag()));
        let body = read.json();
        assert_eq!(body["_etag"], created.etag().trim_matches('"'));
        assert!(created.location().ends_with(body["id"].as_str().expect("an id")));
        let posted: Value = serde_json::from_slice(document.body()).expect("JSON");
        let body = without_server_members(body);
        assert!(is_same(&posted, &body), "{collection}\nposted {posted}\nread   {body}");
    }
    // Posted again: the same address, the same version, nothing written.
    let outbox = site.count("Outbox").await;
    for document in &documents {
        let collection = format!("/data/{}/{}", document.project, document.resource);
        let again = site.post(&collection, document.body()).await;
        assert_eq!(again.status, StatusCode::OK, "{again:?}");
        assert_eq!(site.get(&again.location()).await.etag(), again.etag());
    }
    assert_eq!(site.count("Outbox").await, outbox);
}

#[tokio::test]
async fn a_life_of_a_document() {
    let site = Site::of(World::fixtures()).await;
    let created = create(&site, STUDENTS, &student("S-1")).await;
    let path = created.location();
    // Changed by POST: the same document at a new version.
    let mut body = student("S-1");
    body["firstName"] = json!("Adele");
    let posted = site.post(STUDENTS, body.to_string().as_bytes()).await;
    assert_eq!((posted.status, posted.location()), (StatusCode::OK, path.clone()));
    assert_ne!(posted.etag(), created.etag());
    // Changed by PUT, with its id.
    body["firstName"] = json!("Adelaide");
    site.put(&path, &body).await.assert_problem(400, "bad-request:data-validation-failed");
    body["id"] = json!(path.rsplit('/').next());
    let put = site.put(&path, &body).await;
    assert_eq!((put.status, put.body.len()), (StatusCode::NO_CONTENT, 0));
    let read = site.get(&path).await;
    assert_eq!((read.etag(), read.json()["firstName"].as_str()), (put.etag(), Some("Adelaide")));
    // Unchanged: the same version.
    assert_eq!(site.put(&path, &body).await.etag(), put.etag());
    let known = site.send("GET", &path, &[("if-none-match", &put.etag())], Body::empty()).await;
    assert_eq!((known.status, known.body.len()), (StatusCode::NOT_MODIFIED, 0));
    // Deleted.
    assert_eq!(site.delete(&path).await.status, StatusCode::NO_CONTENT);
    site.get(&path).await.assert_problem(404, "not-found");
    site.delete(&path).await.assert_problem(404, "not-found");
    site.put(&path, &body).await.assert_problem(404, "not-found");
    // Created again, it is another document.
    assert_ne!(create(&site, STUDENTS, &student("S-1")).await.location(), path);
}

#[tokio::test]
async fn conditions_guard_against_lost_updates() {
    let site = Site::of(World::fixtures()).await;
    let created = create(&site, STUDENTS, &student("S-1")).await;
    let (path, stale) = (created.location(), created.etag());
    let mut body = student("S-1");
    body["firstName"] = json!("Adele");
    let send = |method: &'static str, name: &'static str, tag: String, body: Value| {
        let (site, path) = (&site, if method == "POST" { STUDENTS.to_owned() } else { path.clone() });
        async move { site.send(method, &path, &[(name, &*tag), JSON], body.to_string()).await }
    };
    let current = send("POST", "if-match", stale.clone(), body.clone()).await;
    assert_eq!(current.status, StatusCode::OK);
    body["firstName"] = json!("Adelaide");
    body["id"] = json!(path.rsplit('/').next());
    send("PUT", "if-match", stale.clone(), body.clone()).await.assert_problem(412, "optimistic-lock-failed");
    send("DELETE", "if-match", stale.clone(), json!({})).await.assert_problem(412, "optimistic-lock-failed");
    let taken = send("POST", "if-none-match", "*".to_owned(), student("S-1")).await;
    taken.assert_problem(412, "precondition-failed:if-none-match");
    send("POST", "if-match", "*".to_owned(), student("S-2")).await.assert_problem(412, "optimistic-lock-failed");
    assert_eq!(send("POST", "if-none-match", "*".to_owned(), student("S-3")).await.status, StatusCode::CREATED);
    assert_eq!(site.get(&path).await.etag(), current.etag(), "nothing was written");
    let weak = format!("W/{}", current.etag());
    assert_eq!(send("DELETE", "if-match", weak, json!({})).await.status, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn an_id_belongs_to_one_type() {
    let site = Site::of(World::fixtures()).await;
    let path = create(&site, STUDENTS, &student("S-1")).await.location();
    let elsewhere = path.replace("students", "schools");
    site.get(&elsewhere).await.assert_problem(404, "not-found");
    site.delete(&elsewhere).await.assert_problem(404, "not-found");
    assert_eq!(site.get(&path).await.status, StatusCode::OK);
}

#[tokio::test]
async fn bad_bodies_change_nothing() {
    let site = Site::loaded().await;
    let (documents, outbox) = (site.count("Document").await, site.count("Outbox").await);
    let invalid = "bad-request:data-validation-failed";
    for (collection, body, status, name) in [
        ("students", "{", 400, "bad-request"),
        ("students", "", 400, "bad-request"),
        ("students", "[]", 400, "bad-request"),
        ("students", "{\"studentUniqueId\":\"\u{0}\"}", 400, "bad-request"),
        ("students", "{\"studentUniqueId\":\"a\",\"studentUniqueId\":\"b\"}", 400, "bad-request"),
        ("students", "{}", 400, invalid),
        (
            "students",
            r#"{"studentUniqueId":"S","firstName":"a","lastSurname":"b","birthData":{"birthDate":"2031-02-30"}}"#,
            400,
            invalid,
        ),
        (
            "classPeriods",
            r#"{"classPeriodName":"x","schoolReference":{"schoolId":1}}"#,
            409,
            "data-conflict:unresolved-reference",
        ),
        (
            "sessions",
            r#"{"sessionName":"x","schoolReference":{"schoolId":710001},"schoolYearTypeReference":{"schoolYear":2031},
                "termDescriptor":"uri://nowhere#x","beginDate":"2030-08-19","endDate":"2030-12-20","totalInstructionalDays":1}"#,
            400,
            "bad-request",
        ),
    ] {
        let answer = site.post(&format!("/data/meadow/{collection}"), body.as_bytes()).await;
        let problem = answer.assert_problem(status, name);
        let is_empty = |member: &str| match &problem[member] {
            Value::Array(errors) => errors.is_empty(),
            Value::Object(errors) => errors.is_empty(),
            other => panic!("{other}"),
        };
        assert!(!is_empty("errors") || !is_empty("validationErrors"), "{problem}");
    }
    let answer = site.send("POST", STUDENTS, &[JSON], b"\xff\xfe".to_vec()).await;
    answer.assert_problem(400, "bad-request");
    assert_eq!((site.count("Document").await, site.count("Outbox").await), (documents, outbox));
}

#[tokio::test]
async fn a_document_that_others_refer_to_stays() {
    let site = Site::loaded().await;
    let students = site.all(STUDENTS).await;
    let path = format!("{STUDENTS}/{}", students[0]["id"].as_str().expect("an id"));
    let problem = site.delete(&path).await.assert_problem(409, "data-conflict:dependent-item-exists");
    assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains("StudentSchoolAssociation")), "{problem}");
    assert_eq!(site.get(&path).await.status, StatusCode::OK);
}

#[tokio::test]
async fn an_identity_changes_only_where_its_type_allows_it_and_dependents_show_it_at_once() {
    let site = Site::loaded().await;
    let students = site.all(STUDENTS).await;
    let mut student = without_server_members(students[0].clone());
    student["studentUniqueId"] = json!("S-other");
    student["id"] = students[0]["id"].clone();
    let path = format!("{STUDENTS}/{}", students[0]["id"].as_str().expect("an id"));
    site.put(&path, &student).await.assert_problem(400, "bad-request:data-validation-failed:key-change-not-supported");

    let sessions = site.all("/data/meadow/sessions").await;
    let before = site.all("/data/meadow/courseOfferings").await;
    let mut session = without_server_members(sessions[0].clone());
    let old = session["sessionName"].clone();
    session["sessionName"] = json!("Renamed Term");
    session["id"] = sessions[0]["id"].clone();
    let path = format!("/data/meadow/sessions/{}", sessions[0]["id"].as_str().expect("an id"));
    assert_eq!(site.put(&path, &session).await.status, StatusCode::NO_CONTENT);
    let after = site.all("/data/meadow/courseOfferings").await;
    let mut renamed = 0;
    for (before, after) in before.iter().zip(&after) {
        let school = &session["schoolReference"]["schoolId"];
        let is_dependent =
            before["sessionReference"]["sessionName"] == old && before["sessionReference"]["schoolId"] == *school;
        assert_eq!(before["id"], after["id"]);
        assert_eq!(is_dependent, after["sessionReference"]["sessionName"] == "Renamed Term");
        assert_eq!(is_dependent, before["_etag"] != after["_etag"]);
        renamed += usize::from(is_dependent);
    }
    assert!(renamed > 0);
}

#[tokio::test]
async fn a_database_that_is_gone_is_a_problem_too() {
    let site = Site::of(World::fixtures()).await;
    site.database.database().close();
    site.get(STUDENTS).await.assert_problem(503, "service-unavailable");
    let path = format!("{STUDENTS}/0420a54c-16df-4fff-8f48-d87d35e71fe7");
    site.get(&path).await.assert_problem(503, "service-unavailable");
    site.delete(&path).await.assert_problem(503, "service-unavailable");
    site.post(STUDENTS, student("S-1").to_string().as_bytes()).await.assert_problem(503, "service-unavailable");
}
