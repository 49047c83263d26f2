//! Equality constraints: two values of a body that the schema says are one.

use crate::site::{Answer, Site};
use axum::http::StatusCode;
use serde_json::{Value, json};

const OFFERINGS: &str = "/data/meadow/courseOfferings";
const PATHS: [&str; 2] = ["$.schoolReference.schoolId", "$.sessionReference.schoolId"];

/// An offering at two schools: valid but for the constraint.
fn offering(school: i64, school_of_the_session: i64) -> Value {
    json!({
        "localCourseCode": "EQ-1",
        "schoolReference": { "schoolId": school },
        "sessionReference":
            { "schoolId": school_of_the_session, "schoolYear": 2031, "sessionName": "Fall Term 2031" },
    })
}

#[track_caller]
fn assert_names_both_paths(answer: &Answer) {
    let problem = answer.assert_problem(400, "bad-request:data-validation-failed");
    let errors = problem["validationErrors"].as_object().expect("errors by path");
    assert_eq!(errors.keys().map(String::as_str).collect::<Vec<_>>(), PATHS, "{problem}");
}

#[tokio::test]
async fn a_body_whose_values_must_be_equal_and_differ_is_refused_by_post_and_put() {
    let site = Site::loaded().await;
    let before = site.all(OFFERINGS).await.len();
    assert_names_both_paths(&site.post(OFFERINGS, offering(710_002, 710_001).to_string().as_bytes()).await);
    assert_eq!(site.all(OFFERINGS).await.len(), before, "nothing was stored");

    let created = site.post(OFFERINGS, offering(710_001, 710_001).to_string().as_bytes()).await;
    assert_eq!(created.status, StatusCode::CREATED, "{created:?}");
    let path = created.location();
    let stored = site.get(&path).await;
    let id = stored.json()["id"].clone();
    let mut changed = offering(710_002, 710_001);
    changed["id"] = id.clone();
    assert_names_both_paths(&site.put(&path, &changed).await);
    assert_eq!(site.get(&path).await.body, stored.body, "nothing was changed");

    let mut edited = offering(710_001, 710_001);
    (edited["id"], edited["localCourseTitle"]) = (id, json!("The constraint holds"));
    assert_eq!(site.put(&path, &edited).await.status, StatusCode::NO_CONTENT);
}
