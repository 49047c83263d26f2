//! Pages of a collection: by offset and by token, with totals, and with the bytes of single documents.

use crate::site::Site;
use axum::http::StatusCode;
use millstream_testkit::World;
use serde_json::Value;

const STUDENTS: &str = "/data/meadow/students";

fn ids(documents: &[Value]) -> Vec<&str> {
    documents.iter().map(|document| document["id"].as_str().expect("an id")).collect()
}

#[tokio::test]
async fn pages_put_together_are_the_collection() {
    let site = Site::loaded().await;
    let all = site.all(STUDENTS).await;
    assert_eq!(all.len(), 20);
    for limit in [1, 3, 7, 20, 21] {
        let mut by_offset: Vec<Value> = Vec::new();
        let mut by_token: Vec<Value> = Vec::new();
        let mut token: Option<String> = None;
        for page in 0.. {
            let offset = page * limit;
            let answer = site.get(&format!("{STUDENTS}?limit={limit}&offset={offset}&totalCount=true")).await;
            assert_eq!((answer.status, answer.header("total-count")), (StatusCode::OK, Some("20")));
            let documents: Vec<Value> = serde_json::from_slice(&answer.body).expect("an array");
            if documents.is_empty() {
                break;
            }
            by_offset.extend(documents);
        }
        loop {
            let from = token.as_ref().map(|token| format!("&pageToken={token}")).unwrap_or_default();
            let answer = site.get(&format!("{STUDENTS}?limit={limit}{from}")).await;
            by_token.extend(serde_json::from_slice::<Vec<Value>>(&answer.body).expect("an array"));
            token = answer.header("next-page-token").map(str::to_owned);
            if token.is_none() {
                break;
            }
        }
        assert_eq!(ids(&by_offset), ids(&all), "by offset, {limit} a page");
        assert_eq!(ids(&by_token), ids(&all), "by token, {limit} a page");
    }
}

#[tokio::test]
async fn a_page_has_the_bytes_of_its_documents() {
    let site = Site::loaded().await;
    let page = site.get(&format!("{STUDENTS}?limit=3&offset=2")).await;
    let mut bodies = Vec::new();
    for id in ids(&site.all(STUDENTS).await[2..5]) {
        bodies.push(String::from_utf8(site.get(&format!("{STUDENTS}/{id}")).await.body.to_vec()).expect("UTF-8"));
    }
    assert_eq!(page.body, format!("[{}]", bodies.join(",")));
    assert_eq!(page.header("etag"), None);
}

#[tokio::test]
async fn totals_count_what_the_filter_matches_whatever_the_page() {
    let site = Site::loaded().await;
    let sections = site.all("/data/meadow/sections").await;
    let expected = sections.iter().filter(|section| section["courseOfferingReference"]["schoolId"] == 710_001).count();
    assert!(expected > 0 && expected < sections.len());
    for paging in ["limit=0", "limit=1", "limit=500", "limit=5&offset=1000"] {
        let answer = site.get(&format!("/data/meadow/sections?schoolId=710001&totalCount=true&{paging}")).await;
        assert_eq!(answer.header("total-count"), Some(&*expected.to_string()), "{paging}");
    }
    let empty = site.get("/data/meadow/sections?limit=0").await;
    assert_eq!((empty.status, &*empty.body, empty.header("total-count")), (StatusCode::OK, &b"[]"[..], None));
    let nothing = site.get("/data/meadow/sections?sectionIdentifier=none&totalCount=true").await;
    assert_eq!((&*nothing.body, nothing.header("total-count")), (&b"[]"[..], Some("0")));
}

#[tokio::test]
async fn the_default_page_has_25_documents() {
    let site = Site::loaded().await;
    let associations = "/data/meadow/studentSectionAssociations";
    let answer = site.get(associations).await;
    let first: Vec<Value> = serde_json::from_slice(&answer.body).expect("an array");
    assert_eq!(first.len(), 25);
    assert_eq!(ids(&first), ids(&site.all(associations).await[..25]));
}

#[tokio::test]
async fn what_cannot_be_asked_is_refused() {
    let site = Site::of(World::fixtures()).await;
    let parameter = "bad-request:parameter-validation-failed";
    for (query, name) in [
        ("limit=501", parameter),
        ("offset=-1", parameter),
        ("totalCount=1", parameter),
        ("pageToken=nonsense", parameter),
        ("birthDate=2031-02-30", parameter),
        ("libraryCardNumber=abc", parameter),
        ("multipleBirth=perhaps", parameter),
        ("recordCreatedAt=yesterday", parameter),
        ("shoeSize=5", "bad-request"),
        ("Limit=5", "bad-request"),
        ("otherName=x", "bad-request"),
    ] {
        let problem = site.get(&format!("{STUDENTS}?{query}")).await.assert_problem(400, name);
        assert_eq!(problem["errors"].as_array().map(Vec::len), Some(1), "{problem}");
    }
    let problem = site.get(&format!("{STUDENTS}?shoeSize=5")).await.json();
    assert_eq!(problem["errors"][0], "The query field 'shoeSize' is not valid for this resource.");
    // A token of another type is not valid.
    let site = Site::loaded().await;
    let answer = site.get("/data/meadow/sections?limit=1").await;
    let token = answer.header("next-page-token").expect("a token");
    site.get(&format!("{STUDENTS}?pageToken={token}")).await.assert_problem(400, parameter);
}
