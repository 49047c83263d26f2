//! Every query field of every resource of the fixtures, with every value that occurs, against a brute-force oracle.

use crate::site::Site;
use axum::http::StatusCode;
use millstream_schema::plan::{QueryField, QueryKind, ResourcePlan};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use std::collections::BTreeSet;

/// Returns the text of the value at a path of plain members.
fn text_at(document: &Value, path: &str) -> Option<String> {
    let pointer = path.strip_prefix('$')?.replace('.', "/");
    match document.pointer(&pointer)? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        other => panic!("{path} of a document is {other}"),
    }
}

/// Returns whether a document has the value at some path of the field. Descriptors and ids are compared ignoring case.
fn matches(document: &Value, field: &QueryField, value: &str) -> bool {
    field.paths.iter().any(|path| {
        let ignores_case = matches!(path.kind, QueryKind::Descriptor { .. } | QueryKind::Uuid);
        text_at(document, &path.path)
            .is_some_and(|text| text == value || (ignores_case && text.eq_ignore_ascii_case(value)))
    })
}

fn ids<'d>(documents: impl Iterator<Item = &'d Value>) -> BTreeSet<String> {
    documents.map(|document| document["id"].to_string()).collect()
}

fn collection_of(resource: &ResourcePlan) -> String {
    format!("/data/{}/{}", resource.project_endpoint, resource.endpoint)
}

async fn ask(site: &Site, resource: &ResourcePlan, filters: &[(&str, &str)]) -> BTreeSet<String> {
    let encode = |text| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let query: Vec<String> =
        filters.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
    let answer = site.get(&format!("{}?limit=500&{}", collection_of(resource), query.join("&"))).await;
    assert_eq!(answer.status, StatusCode::OK, "{} {filters:?}: {answer:?}", resource.endpoint);
    let documents: Vec<Value> = serde_json::from_slice(&answer.body).expect("an array");
    ids(documents.iter())
}

#[tokio::test]
async fn every_field_finds_exactly_the_documents_that_have_the_value() {
    let site = Site::loaded().await;
    let (mut fields, mut values, mut never_set) = (0, 0, Vec::new());
    for resource in &site.world.mapping.resources {
        let documents = site.all(&collection_of(resource)).await;
        for field in resource.query_fields.values() {
            assert!(!field.paths.is_empty(), "{} of {} cannot be queried", field.name, resource.endpoint);
            let texts = field.paths.iter().flat_map(|path| documents.iter().filter_map(|d| text_at(d, &path.path)));
            let texts: BTreeSet<String> = texts.collect();
            if texts.is_empty() {
                never_set.push(format!("{}.{}", resource.endpoint, field.name));
            }
            for text in &texts {
                let expected = ids(documents.iter().filter(|document| matches(document, field, text)));
                assert!(!expected.is_empty());
                let found = ask(&site, resource, &[(&field.name, text)]).await;
                assert_eq!(found, expected, "{}?{}={text}", resource.endpoint, field.name);
            }
            fields += 1;
            values += texts.len();
        }
    }
    assert!(fields > 120 && values > 500, "{fields} fields, {values} values");
    assert!(never_set.len() * 4 < fields, "{never_set:?}");
}

#[tokio::test]
async fn fields_are_found_in_any_case_and_descriptors_match_in_any_case() {
    let site = Site::loaded().await;
    let route = |name| site.world.mapping.resource(site.world.mapping.route("meadow", name).expect("a route"));
    let sessions = site.all("/data/meadow/sessions").await;
    let term = sessions[0]["termDescriptor"].as_str().expect("a descriptor");
    let expected = ids(sessions.iter().filter(|session| session["termDescriptor"] == term));
    for spelling in [term.to_owned(), term.to_uppercase(), term.to_lowercase()] {
        assert_eq!(ask(&site, route("sessions"), &[("TERMDescriptor", &spelling)]).await, expected);
    }
    assert!(ask(&site, route("sessions"), &[("termDescriptor", "uri://nowhere#none")]).await.is_empty());
    assert!(ask(&site, route("sessions"), &[("sessionName", &term.to_uppercase())]).await.is_empty());
}

#[tokio::test]
async fn several_fields_all_have_to_match() {
    let site = Site::loaded().await;
    let resource = site.world.mapping.resource(site.world.mapping.route("meadow", "sections").expect("a route"));
    let sections = site.all("/data/meadow/sections").await;
    let mut found_some = 0;
    for section in &sections {
        let offering = &section["courseOfferingReference"];
        let (school, session) = (offering["schoolId"].to_string(), offering["sessionName"].as_str().expect("a name"));
        let expected = ids(sections.iter().filter(|other| {
            let other = &other["courseOfferingReference"];
            other["schoolId"] == offering["schoolId"] && other["sessionName"] == offering["sessionName"]
        }));
        assert_eq!(ask(&site, resource, &[("schoolId", &school), ("sessionName", session)]).await, expected);
        found_some += usize::from(expected.len() < sections.len());
        assert!(ask(&site, resource, &[("schoolId", &school), ("sectionName", "none")]).await.is_empty());
    }
    assert!(found_some > 0);
}
