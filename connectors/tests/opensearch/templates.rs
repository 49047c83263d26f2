//! Index templates of the host that match the same indexes.

use millstream_testkit::OpenSearchNode;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{ask, assert_all_done, new_prefix, open, options, state, upsert};

/// Creates a template of the host for all indexes under a prefix, with settings and mappings of its own.
async fn host_template(url: &str, prefix: &str, priority: u64) {
    let body = json!({
        "index_patterns": [format!("{prefix}*")],
        "priority": priority,
        "template": {
            "settings": { "index": { "number_of_replicas": "3", "refresh_interval": "77s", "gc_deletes": "60s" } },
            "mappings": { "dynamic": true, "properties": { "theirs": { "type": "keyword" } } },
        },
    });
    let (status, answer) = ask(url, Method::PUT, &format!("/_index_template/host-{prefix}"), Some(body)).await;
    assert_eq!(status, 200, "{answer}");
}

async fn own_priority(url: &str, prefix: &str) -> Value {
    let (status, found) = ask(url, Method::GET, &format!("/_index_template/{prefix}"), None).await;
    assert_eq!(status, 200, "{found}");
    found["index_templates"][0]["index_template"]["priority"].clone()
}

/// Whatever template wins, an index has the settings that its creation names.
async fn assert_own_settings(url: &str, index: &str) {
    let (status, found) = ask(url, Method::GET, &format!("/{index}/_settings?flat_settings=true"), None).await;
    assert_eq!(status, 200, "{found}");
    let settings = &found[index]["settings"];
    assert_eq!(settings["index.gc_deletes"], "24h", "{settings}");
    assert_eq!(settings["index.number_of_replicas"], "0", "{settings}");
    assert_eq!(settings["index.refresh_interval"], "1000ms", "{settings}");
    let analysis = "index.analysis.analyzer.millstream_words.type";
    assert_eq!(settings[analysis], "custom", "{settings}");
}

#[tokio::test]
async fn a_template_of_the_host_with_the_same_or_a_higher_priority_is_outbid() {
    let url = OpenSearchNode::shared().await.url();
    for priority in [500, 9_000] {
        let prefix = new_prefix();
        host_template(&url, &prefix, priority).await;
        let (_, sink) = open(options(&url, &prefix)).await;
        assert_eq!(own_priority(&url, &prefix).await, priority + 1);
        assert_all_done(&sink.put(&[upsert(1, 5, "one")]).await);
        assert_eq!(state(&*sink).await.len(), 1);
        assert_own_settings(&url, &format!("{prefix}.g1.descriptors")).await;
        assert_own_settings(&url, &format!("{prefix}.g1.meadow.districts")).await;
        ask(&url, Method::DELETE, &format!("/_index_template/host-{prefix}"), None).await;
    }
}

#[tokio::test]
async fn an_index_that_is_created_under_a_later_template_of_the_host_has_the_own_settings() {
    let url = OpenSearchNode::shared().await.url();
    let prefix = new_prefix();
    let (_, sink) = open(options(&url, &prefix)).await;
    host_template(&url, &prefix, 9_000).await;
    assert_all_done(&sink.put(&[upsert(1, 5, "one")]).await);
    assert_own_settings(&url, &format!("{prefix}.g1.meadow.districts")).await;
    sink.prepare().await.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(own_priority(&url, &prefix).await, 9_001, "outbid at the next start");
    ask(&url, Method::DELETE, &format!("/_index_template/host-{prefix}"), None).await;
}
