//! Responses from the cache and responses composed from the tables are the same bytes, and always current (FRESH).

use crate::site::Site;
use millstream_store::compose::compose_documents;
use millstream_store::load::{Caches, heads_after};
use millstream_store::table::cache::{CacheOutcome, CacheRow, SameVersion, upsert};
use tokio_postgres::IsolationLevel;

/// Stores every document in the cache, as the projector would.
async fn fill(site: &Site) -> usize {
    let mut client = site.database.database().get().await.expect("a connection");
    let snapshot =
        client.build_transaction().isolation_level(IsolationLevel::RepeatableRead).start().await.expect("begun");
    let heads = heads_after(&snapshot, 0, 10_000).await.expect("heads");
    let composed =
        compose_documents(&snapshot, &site.world.mapping, &Caches::default(), heads).await.expect("composed");
    snapshot.commit().await.expect("committed");
    let rows: Vec<CacheRow<'_>> = composed
        .iter()
        .map(|document| CacheRow { head: &document.head, body: document.body.as_ref().expect("a body") })
        .collect();
    let outcomes = upsert(&client, &rows, SameVersion::Keep).await.expect("stored");
    assert!(outcomes.iter().all(|outcome| *outcome == CacheOutcome::Stored));
    outcomes.len()
}

fn addresses(site: &Site) -> Vec<String> {
    let resources = site.world.mapping.resources.iter();
    resources.map(|resource| format!("/data/{}/{}", resource.project_endpoint, resource.endpoint)).collect()
}

#[tokio::test]
async fn the_bytes_are_the_same_with_and_without_a_cache() {
    let site = Site::loaded().await;
    let mut answers = Vec::new();
    for collection in addresses(&site) {
        answers.push((format!("{collection}?limit=500"), site.get(&format!("{collection}?limit=500")).await.body));
        for document in site.all(&collection).await {
            let path = format!("{collection}/{}", document["id"].as_str().expect("an id"));
            answers.push((path.clone(), site.get(&path).await.body));
        }
    }
    let documents = fill(&site).await;
    assert!(answers.len() > documents && documents > 200);
    for (path, composed) in answers {
        assert_eq!(site.get(&path).await.body, composed, "{path}");
    }
}

#[tokio::test]
async fn the_cache_is_used_while_it_is_current_and_not_a_moment_longer() {
    let site = Site::loaded().await;
    fill(&site).await;
    let session = site.database.session().await;
    let mark = r#"UPDATE "dms"."DocumentCache" SET "Body" = '{"marked":true}'"#;
    session.batch_execute(mark).await.expect("marked");
    let students = site.all("/data/meadow/students").await;
    let marked = |students: &[serde_json::Value]| students.iter().filter(|student| student["marked"] == true).count();
    assert_eq!(marked(&students), students.len());
    let path = format!("/data/meadow/students/{}", students[0]["id"].as_str().expect("an id"));
    assert_eq!(site.get(&path).await.json()["marked"], true);
    // A write makes the cached body of its document stale.
    let body = serde_json::json!({
        "id": students[0]["id"], "studentUniqueId": "S-7001", "firstName": "Adele", "lastSurname": "Abara",
        "birthData": {"birthDate": "2014-01-01"}
    });
    assert_eq!(site.put(&path, &body).await.status, axum::http::StatusCode::NO_CONTENT);
    assert_eq!(site.get(&path).await.json()["firstName"], "Adele");
    let students = site.all("/data/meadow/students").await;
    assert_eq!(marked(&students), students.len() - 1, "only the changed one is composed");
}
