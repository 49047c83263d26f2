//! The reader of `docs/topic-contract.md`, in another language, run as it stands there.

use std::collections::BTreeMap;
use std::process::Command;

use millstream_projector::sink::Sink;
use millstream_testkit::KafkaBroker;

use crate::support::{assert_all_done, delete, document, key, new_topic_name, open, options, upsert};

/// The block of the page that is marked with this language.
fn block(language: &str) -> String {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/topic-contract.md");
    let page = std::fs::read_to_string(page).expect("the page is there");
    let (_, rest) = page.split_once(&format!("```{language}\n")).expect("it has such a block");
    rest.split_once("\n```").expect("the block ends").0.to_owned()
}

/// A Python that has the client; Debian's own first.
fn python() -> &'static str {
    let has_client = |python: &&&str| {
        let tried = Command::new(python).args(["-c", "import confluent_kafka"]).output();
        tried.is_ok_and(|tried| tried.status.success())
    };
    let found = ["/usr/bin/python3", "python3"].iter().find(has_client);
    found.expect("a python3 with confluent_kafka: run scripts/services install")
}

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
    // Twice, as after an answer that did not come: the reader has to pass over the older one.
    assert_all_done(&sink.put(&[upsert(250, 9, "newest")]).await);
    assert_all_done(&sink.put(&[upsert(250, 8, "late")]).await);

    // It also waits until all that was committed can be read.
    let held = sink.fetch(&[key(7), key(8)]).await.expect("it can be asked");
    assert_eq!(held, [Some(document(key(7).uuid, 5, "back again")), None]);

    let read = Command::new(python()).args(["-c", &block("python"), &servers, &topic]).output().expect("python runs");
    assert!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr));
    let text = String::from_utf8(read.stdout).expect("text");
    let found: BTreeMap<&str, (&str, &str)> = text
        .lines()
        .map(|line| {
            let mut words = line.splitn(3, '\t');
            let (id, version) = (words.next().expect("an id"), words.next().expect("a version"));
            (id, (version, words.next().expect("a document")))
        })
        .collect();
    let expected: BTreeMap<String, (String, String)> = (0..300u128)
        .filter_map(|number| {
            let (version, word) = match number {
                7 => (5, "back again"),
                250 => (9, "newest"),
                0..100 => return None,
                _ => (3, "ünï \"quoted\""),
            };
            let json = document(key(number).uuid, version, word);
            let json = String::from_utf8(json.to_vec()).expect("text");
            Some((key(number).uuid.to_string(), (version.to_string(), json)))
        })
        .collect();
    let expected: BTreeMap<&str, (&str, &str)> =
        expected.iter().map(|(id, (version, json))| (id.as_str(), (version.as_str(), json.as_str()))).collect();
    assert_eq!(found, expected);
}
