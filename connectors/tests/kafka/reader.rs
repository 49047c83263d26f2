//! The reader of `docs/reference/topic-contract.md`, in another language, executed as printed there.

use std::collections::BTreeMap;

use millstream_pipeline::sink::Sink;
use millstream_testkit::KafkaBroker;
use millstream_testkit::contract::rebuild_from_topic;

use crate::support::{assert_all_done, delete, document, key, new_topic_name, open, options, upsert};

#[tokio::test]
async fn a_reader_written_from_the_contract_rebuilds_the_state() {
    let servers = KafkaBroker::shared().await.bootstrap_servers();
    let topic = new_topic_name();
    let sink = open(options(&servers, &topic)).await;
    for version in 1..=3 {
        let batch: Vec<_> = (0..300).map(|number| upsert(number, version, "ünï \"quoted\"")).collect();
        assert_all_done(&sink.put(&batch).await);
    }
    assert_all_done(&sink.put(&(0..100).map(|number| delete(number, 4)).collect::<Vec<_>>()).await);
    assert_all_done(&sink.put(&[upsert(7, 5, "back again")]).await);
    // A late retry of an older version: the reader has to skip it.
    assert_all_done(&sink.put(&[upsert(250, 9, "newest")]).await);
    assert_all_done(&sink.put(&[upsert(250, 8, "late")]).await);

    // It also waits until everything committed can be read.
    let held = sink.fetch(&[key(7), key(8)]).await.expect("it can be asked");
    assert_eq!(held, [Some(document(key(7).uuid, 5, "back again")), None]);

    let found = rebuild_from_topic(&servers, &topic);
    let expected: BTreeMap<String, (i64, String)> = (0..300u128)
        .filter_map(|number| {
            let (version, word) = match number {
                7 => (5, "back again"),
                250 => (9, "newest"),
                0..100 => return None,
                _ => (3, "ünï \"quoted\""),
            };
            let json = document(key(number).uuid, version, word);
            let json = String::from_utf8(json.to_vec()).expect("text");
            Some((key(number).uuid.to_string(), (version, json)))
        })
        .collect();
    assert_eq!(found, expected);
}
