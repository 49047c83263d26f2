//! The order by relevance of this engine: documents with a higher density of the word come first.

use crate::support::{MODEL, folder, key, live, open};
use millstream_pipeline::sink::{Content, Delivery, DocumentKey, Outcome};
use millstream_search::{QueryOptions, SearchEngine, SearchQuery};
use uuid::Uuid;

/// A school whose name has the word once and `others` other words.
fn school(others: u128) -> Delivery {
    let uuid = Uuid::from_u128(others + 1);
    let name = format!("Fern {}", "other ".repeat(others as usize));
    let body = format!(r#"{{"id":"{uuid}","_etag":"5","nameOfInstitution":"{name}"}}"#);
    let key = DocumentKey { uuid, resource_key: key("schools") };
    Delivery { key, version: 5, content: Content::Document(body.into()), repair: false }
}

#[tokio::test]
async fn the_best_come_first_whatever_segment_they_are_in() {
    let folder = folder();
    let store = open(&folder);
    let sink = live(&store).await;
    // Several commits, the best document in the middle one.
    for others in [[40, 12], [0, 20], [8, 30]] {
        let outcomes = sink.put(&others.map(school)).await;
        assert_eq!(outcomes, [Outcome::Done, Outcome::Done]);
    }
    for limit in [1, 3, 6, 10] {
        let parameters = [("q", "fern".to_owned()), ("limit", limit.to_string()), ("totalCount", "true".to_owned())];
        let parameters = parameters.map(|(name, value)| (name.to_owned(), value));
        let options = QueryOptions { limit_default: 25, limit_max: 500 };
        let resource = MODEL.by_key(key("schools")).expect("a resource of the small schema");
        let query = SearchQuery::parse(resource, &parameters, &options).unwrap_or_else(|errors| panic!("{errors:?}"));
        let page = store.search(&query).await.expect("a page");
        let found: Vec<u128> = page.documents.iter().map(|hit| hit.uuid.as_u128() - 1).collect();
        let expected = [0, 8, 12, 20, 30, 40];
        assert_eq!(found, expected[..limit.min(6)], "the {limit} best");
        assert_eq!((page.total, page.next), (Some(6), None), "it has no cursor");
    }
}
