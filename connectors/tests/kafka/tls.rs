//! Brokers behind TLS, which ask for a certificate and a password: of an authority that only we know.

use std::time::Duration;

use millstream_connectors::queue::kafka::{KafkaQueue, KafkaQueueOptions};
use millstream_connectors::sink::kafka::{KafkaOptions, KafkaSink};
use millstream_pipeline::queue::WorkQueue;
use millstream_pipeline::sink::{Sink, SinkError};
use millstream_testkit::{BrokerOptions, KafkaBroker, wait_until};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use std::collections::BTreeMap;

use crate::support::{READY_WITHIN, assert_all_done, new_topic_name, open, options, state, upsert};

/// The names of librdkafka's properties for what a client shows and trusts.
const AUTHORITY: &str = "ssl.ca.pem";
const CERTIFICATE: &str = "ssl.certificate.pem";
const KEY: &str = "ssl.key.pem";

/// A certificate and its key, as PEM.
struct Signed {
    certificate: String,
    key: String,
}

fn signed(authority: &CertifiedIssuer<'_, KeyPair>, name: &str) -> Signed {
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new([name.to_owned()]).expect("a name");
    Signed { certificate: params.signed_by(&key, authority).expect("signed").pem(), key: key.serialize_pem() }
}

/// A broker whose listener with a password is behind TLS, and what a client needs for it.
async fn broker() -> (KafkaBroker, BTreeMap<String, String>) {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    // Unlike those that it signs, or they would pass for signed by themselves.
    params.distinguished_name.push(DnType::CommonName, "an authority of the test");
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("a certificate");
    let (server, client) = (signed(&authority, "127.0.0.1"), signed(&authority, "millstream"));
    let one_line = |pem: &str| pem.replace("\r\n", "\n").replace('\n', "\\n");
    let listener = "listener.name.sasl_plaintext.ssl";
    let properties = [
        // The listener keeps its name.
        "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL_PLAINTEXT:SASL_SSL".to_owned(),
        format!("{listener}.keystore.type=PEM"),
        format!("{listener}.keystore.certificate.chain={}", one_line(&server.certificate)),
        format!("{listener}.keystore.key={}", one_line(&server.key)),
        format!("{listener}.truststore.type=PEM"),
        format!("{listener}.truststore.certificates={}", one_line(&authority.pem())),
        format!("{listener}.client.auth=required"),
    ];
    let properties = properties.join("\n");
    let broker = KafkaBroker::start(BrokerOptions { sasl: true, properties, ..BrokerOptions::default() }).await;
    let shown = [
        ("security.protocol", "SASL_SSL".to_owned()),
        ("sasl.mechanism", "SCRAM-SHA-256".to_owned()),
        ("sasl.username", KafkaBroker::SASL_USER.to_owned()),
        ("sasl.password", KafkaBroker::SASL_PASSWORD.to_owned()),
        (AUTHORITY, authority.pem()),
        (CERTIFICATE, client.certificate),
        (KEY, client.key),
    ];
    (broker, shown.map(|(name, value)| (name.to_owned(), value)).into())
}

/// Waits until the brokers' refusal is said in words that have one of these in them.
async fn refused(servers: &str, properties: BTreeMap<String, String>, said: &[&str]) {
    let secrets: Vec<String> = properties.values().filter(|value| value.contains("PRIVATE KEY")).cloned().collect();
    let options =
        KafkaOptions { properties, answer_timeout: Duration::from_secs(4), ..options(servers, &new_topic_name()) };
    let sink = KafkaSink::new(options).expect("the names are right");
    // A broker that has just started may not answer in time, which is another refusal.
    wait_until(&format!("one of {said:?} to be said"), READY_WITHIN, || async {
        let error = sink.prepare().await.expect_err("refused");
        let text = error.to_string();
        assert!(matches!(error, SinkError::Unavailable { .. }), "{text}");
        assert!(!secrets.iter().any(|secret| text.contains(secret.trim())), "{text}");
        said.iter().any(|words| text.to_lowercase().contains(words))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn brokers_are_worked_with_behind_tls_and_only_those_that_are_whom_we_mean() {
    let (broker, properties) = broker().await;
    let servers = broker.sasl_bootstrap_servers();

    let sink = open(KafkaOptions { properties: properties.clone(), ..options(&servers, &new_topic_name()) }).await;
    assert_all_done(&sink.put(&[upsert(1, 1, "sealed")]).await);
    assert_eq!(state(&sink).await.len(), 1);
    let queue =
        KafkaQueueOptions { properties: properties.clone(), ..KafkaQueueOptions::new(&servers, new_topic_name()) };
    let queue = KafkaQueue::open(queue).await.expect("the queue opens");
    assert_eq!(queue.stats().await.expect("stats").depth, 0);
    queue.close().await;

    let without = |names: &[&str]| {
        let mut properties = properties.clone();
        properties.retain(|name, _| !names.contains(&name.as_str()));
        properties
    };
    refused(&servers, without(&[AUTHORITY]), &["certificate verify failed"]).await;
    refused(&servers, without(&[CERTIFICATE, KEY]), &["alert bad certificate", "certificate required"]).await;
    // The certificate is for the address: another name of the same broker is another broker.
    let by_name = servers.replace("127.0.0.1", "localhost");
    refused(&by_name, properties, &["certificate verify failed"]).await;
}
