//! Indexes that are a copy of another database.

use millstream_connectors::sink::opensearch::{OpenSearchIndexes, OpenSearchOptions};
use millstream_pipeline::binding::Binding;
use millstream_pipeline::sink::SinkError;
use millstream_pipeline::sink::generations::Generations;
use millstream_search::{SearchEngine, SearchError, SearchQuery};
use millstream_testkit::OpenSearchNode;
use reqwest::Method;
use std::sync::Arc;
use uuid::Uuid;

use crate::support::{ask, assert_all_done, key, model, new_prefix, open, options, upsert};

#[tokio::test]
async fn the_indexes_of_another_database_are_neither_written_nor_searched() {
    let url = OpenSearchNode::shared().await.url();
    let prefix = new_prefix();
    let of = |database| OpenSearchOptions {
        binding: Some(Binding::postgresql(Uuid::from_u128(database))),
        ..options(&url, &prefix)
    };
    let strange = || OpenSearchIndexes::new(of(2)).expect("the options are right");
    let model = model();
    let districts = model.iter().find(|resource| resource.endpoint == "districts").expect("a type");
    let query = SearchQuery::all(Arc::clone(districts), 25);
    let nothing = strange().search(&query).await.expect_err("nothing is there");
    assert!(matches!(nothing, SearchError::Unavailable { .. }), "{nothing}");

    // The state of an earlier version, which did not record the database.
    let (_, sink) = open(options(&url, &prefix)).await;
    assert_all_done(&sink.put(&[upsert(1, 5, "before")]).await);
    let (indexes, sink) = open(of(1)).await;
    assert_all_done(&sink.put(&[upsert(2, 6, "here")]).await);
    indexes.refresh().await.expect("refreshed");
    assert_eq!(indexes.search(&query).await.expect("a page").documents.len(), 2);

    let second = indexes.create().await.expect("made");
    for template_is_there in [true, false] {
        if !template_is_there {
            // An operator may delete the template; the indexes of the second generation name the database too.
            let (status, _) = ask(&url, Method::DELETE, &format!("/_index_template/{prefix}"), None).await;
            assert_eq!(status, 200);
        }
        let (them, sink) = (strange(), strange().sink(1).expect("a sink"));
        let refusals = [
            them.live().await.map(drop),
            them.list().await.map(drop),
            them.swap(second).await,
            them.remove(second).await,
            them.create().await.map(drop),
            sink.prepare().await,
            sink.scan().await.map(drop),
            sink.fetch(&[key(1)]).await.map(drop),
        ];
        for refused in refusals {
            let Err(SinkError::Incompatible { differences, .. }) = refused else { panic!("accepted") };
            let named = differences[0].contains("another database") && differences[0].contains("opensearch.prefix");
            assert!(named, "{differences:?}");
        }
        let refused = them.search(&query).await.expect_err("they belong to another database").to_string();
        assert!(refused.contains("another database"), "{refused}");
    }
    // The number of generations is kept.
    assert_eq!(OpenSearchIndexes::new(of(1)).expect("the options are right").create().await.expect("made"), second + 1);
}
