//! SASL authentication.

use std::time::Duration;

use millstream_connectors::sink::kafka::{KafkaOptions, KafkaSink};
use millstream_pipeline::sink::{Sink, SinkError};
use millstream_testkit::{KafkaBroker, wait_until};

use crate::support::{READY_WITHIN, assert_all_done, new_topic_name, open, options, state, upsert};

fn with_user(servers: &str, mechanism: &str, password: &str) -> KafkaOptions {
    let properties = [
        ("security.protocol", "SASL_PLAINTEXT"),
        ("sasl.mechanism", mechanism),
        ("sasl.username", KafkaBroker::SASL_USER),
        ("sasl.password", password),
    ];
    let properties = properties.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    KafkaOptions { properties, answer_timeout: Duration::from_secs(4), ..options(servers, &new_topic_name()) }
}

#[tokio::test]
async fn a_user_with_a_password_may_write_and_read() {
    let servers = KafkaBroker::shared().await.sasl_bootstrap_servers();
    for mechanism in ["PLAIN", "SCRAM-SHA-256"] {
        let sink = open(with_user(&servers, mechanism, KafkaBroker::SASL_PASSWORD)).await;
        assert_all_done(&sink.put(&[upsert(1, 1, mechanism)]).await);
        assert_eq!(state(&sink).await.len(), 1);
    }
}

#[tokio::test]
async fn a_wrong_password_is_reported_and_not_shown() {
    let servers = KafkaBroker::shared().await.sasl_bootstrap_servers();
    let sink = KafkaSink::new(with_user(&servers, "PLAIN", "hunter2")).expect("the options are right");
    // A busy broker may not respond in time, which is another error.
    wait_until("the error of authentication", READY_WITHIN, || async {
        let error = sink.prepare().await.expect_err("refused");
        let text = error.to_string();
        assert!(matches!(error, SinkError::Unavailable { .. }), "{text}");
        assert!(!text.contains("hunter2"), "{text}");
        text.to_lowercase().contains("authentication")
    })
    .await;
}

#[tokio::test]
async fn a_value_that_librdkafka_does_not_accept_is_named_but_not_shown() {
    let mut wrong = with_user("127.0.0.1:1", "PLAIN", "p");
    wrong.properties.insert("security.protocol".to_owned(), "hunter2".to_owned());
    let error = KafkaSink::new(wrong).expect("the names are right").prepare().await.expect_err("refused").to_string();
    assert!(error.contains("security.protocol") && !error.contains("hunter2"), "{error}");
}
