//! The topic as its readers see it: keys, values, headers, compaction.

use std::time::Duration;

use millstream_connectors::kafka::partition_of;
use millstream_connectors::sink::kafka::KafkaOptions;
use millstream_pipeline::sink::{Content, Delivery, DocumentKey, Outcome, Sink};
use millstream_testkit::{KafkaBroker, wait_for};
use uuid::Uuid;

use crate::support::{
    assert_all_done, delete, document, key, make_topic, new_topic_name, open, options, rows, state, upsert,
};

const SETTLED_WITHIN: Duration = Duration::from_secs(90);

#[tokio::test]
async fn librdkafka_and_millstream_agree_with_the_vectors_on_partitions() {
    let servers = KafkaBroker::shared().await.bootstrap_servers();
    let uuid = Uuid::parse_str("f81d4fae-7dec-11d0-a765-00a0c91e6bf6").expect("an id");
    for (partitions, expected) in [(6, 2), (12, 8)] {
        let topic = new_topic_name();
        let sink = open(KafkaOptions { partitions, ..options(&servers, &topic) }).await;
        let vector = Delivery {
            key: DocumentKey { uuid, resource_key: 1 },
            version: 1,
            content: Content::Document(document(uuid, 1, "vector")),
            repair: false,
        };
        assert_all_done(&sink.put(&[vector]).await);
        assert_all_done(&sink.put(&(0..100).map(|number| upsert(number, 1, "any")).collect::<Vec<_>>()).await);
        let rows = rows(&servers, &topic);
        assert_eq!(rows.len(), 101);
        for row in rows {
            assert_eq!(row.partition, partition_of(row.key.as_bytes(), partitions).cast_signed(), "{}", row.key);
            if row.key == uuid.to_string() {
                assert_eq!(row.partition, expected);
            }
        }
    }
}

#[tokio::test]
async fn a_record_and_a_tombstone_are_as_the_contract_says() {
    let servers = KafkaBroker::shared().await.bootstrap_servers();
    let topic = new_topic_name();
    let sink = open(options(&servers, &topic)).await;
    assert_all_done(&sink.put(&[upsert(5, 42, "ünï")]).await);
    assert_all_done(&sink.put(&[delete(5, 43)]).await);
    let rows = rows(&servers, &topic);
    let [written, gone] = &rows[..] else { panic!("{rows:?}") };
    let id = key(5).uuid;
    let expected = format!(
        r#"{{"contractVersion":1,"documentUuid":"{id}","projectName":"Ed-Fi","resourceName":"School","resourceVersion":"5.2.0","contentVersion":42,"lastModifiedAt":"2031-08-20T09:15:00Z","document":{{"id":"{id}","_etag":"42","_lastModifiedDate":"2031-08-20T09:15:00Z","amount":0.100000000000000000001,"text":"ünï"}}}}"#
    );
    assert_eq!(written.value.as_deref().map(String::from_utf8_lossy).as_deref(), Some(expected.as_str()));
    assert_eq!((written.key.as_str(), gone.key.as_str()), (id.to_string().as_str(), id.to_string().as_str()));
    assert_eq!(gone.value, None);
    for (row, version) in [(written, "42"), (gone, "43")] {
        let headers: Vec<(&str, &str)> =
            row.headers.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        let expected = [
            ("contentVersion", version),
            ("contractVersion", "1"),
            ("projectName", "Ed-Fi"),
            ("resourceName", "School"),
        ];
        assert_eq!(headers, expected);
    }
}

#[tokio::test]
async fn a_record_above_the_ceiling_is_refused_before_it_is_sent() {
    let servers = KafkaBroker::shared().await.bootstrap_servers();
    let sink = open(KafkaOptions { record_bytes_max: 10_000, ..options(&servers, &new_topic_name()) }).await;
    let sized = |number, length: usize| upsert(number, 1, &"x".repeat(length));
    let refused = sink.put(&[upsert(1, 1, "small"), sized(2, 10_000)]).await;
    let [Outcome::Done, Outcome::Rejected { reason }] = &refused[..] else { panic!("{refused:?}") };
    assert!(reason.contains("the limit is 10000"), "{reason}");
    let bytes: usize = reason.split(' ').find_map(|word| word.parse().ok()).expect("its size");
    let fits = 10_000 - (bytes - 10_000);
    let outcomes = sink.put(&[sized(3, fits), sized(4, fits + 1)]).await;
    let [Outcome::Done, Outcome::Rejected { reason }] = &outcomes[..] else { panic!("{outcomes:?}") };
    assert!(reason.contains("10001 bytes"), "{reason}");
    assert_eq!(state(&sink).await.len(), 2);
}

#[tokio::test]
async fn a_refusal_by_the_broker_is_that_documents_alone() {
    let servers = KafkaBroker::shared().await.bootstrap_servers();
    let topic = new_topic_name();
    let settings =
        [("cleanup.policy", "compact"), ("delete.retention.ms", "604800000"), ("max.message.bytes", "20000")];
    make_topic(&servers, &topic, 1, &settings).await;
    let sink = KafkaOptions { partitions: 1, record_bytes_max: 20_000, ..options(&servers, &topic) };
    let sink = open(sink).await;
    // An operator lowers the limit without telling the sink.
    let settings = [("cleanup.policy", "compact"), ("delete.retention.ms", "604800000"), ("max.message.bytes", "2000")];
    crate::support::alter_topic(&servers, &topic, &settings).await;
    let batch = [upsert(1, 1, "small"), upsert(2, 1, &"x".repeat(5_000)), upsert(3, 1, "small too")];
    // The broker applies it after a moment.
    let outcomes = wait_for("the broker to refuse", SETTLED_WITHIN, || async {
        let outcomes = sink.put(&batch).await;
        matches!(outcomes[1], Outcome::Rejected { .. }).then_some(outcomes)
    })
    .await;
    assert_eq!((&outcomes[0], &outcomes[2]), (&Outcome::Done, &Outcome::Done), "{outcomes:?}");
}

#[tokio::test]
async fn compaction_leaves_the_newest_and_the_tombstone() {
    let servers = KafkaBroker::shared().await.bootstrap_servers();
    let topic = new_topic_name();
    let settings = [
        ("cleanup.policy", "compact"),
        ("delete.retention.ms", "604800000"),
        ("segment.ms", "200"),
        ("min.cleanable.dirty.ratio", "0.01"),
    ];
    make_topic(&servers, &topic, 1, &settings).await;
    let sink = open(KafkaOptions { partitions: 1, ..options(&servers, &topic) }).await;
    for version in 1..=20 {
        assert_all_done(&sink.put(&[upsert(1, version, "kept"), upsert(2, version, "deleted")]).await);
    }
    assert_all_done(&sink.put(&[delete(2, 21)]).await);
    let mut version = 100;
    let compacted = wait_for("the topic to be compacted", SETTLED_WITHIN, || {
        // The next record closes a segment, which is then cleaned.
        version += 1;
        let (sink, servers, topic) = (&sink, servers.clone(), topic.clone());
        async move {
            assert_all_done(&sink.put(&[upsert(99, version, "filler")]).await);
            let rows = tokio::task::spawn_blocking(move || rows(&servers, &topic)).await.expect("rows");
            let of =
                |number| rows.iter().filter(|row| row.key == key(number).uuid.to_string()).cloned().collect::<Vec<_>>();
            let (kept, gone) = (of(1), of(2));
            (kept.len() == 1 && gone.len() == 1).then_some((kept, gone))
        }
    })
    .await;
    assert_eq!(compacted.0[0].headers["contentVersion"], "20");
    assert_eq!((compacted.1[0].value.as_ref(), compacted.1[0].headers["contentVersion"].as_str()), (None, "21"));
    assert_eq!(state(&sink).await.get(&key(1).uuid).map(|(version, _)| *version), Some(20));
    assert!(!state(&sink).await.contains_key(&key(2).uuid));
}
