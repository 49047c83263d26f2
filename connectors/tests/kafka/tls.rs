//! Brokers with TLS that require a client certificate and a password, with a private certificate authority.

use std::time::Duration;

use millstream_connectors::queue::kafka::{KafkaQueue, KafkaQueueOptions};
use millstream_connectors::sink::kafka::{KafkaOptions, KafkaSink};
use millstream_pipeline::queue::WorkQueue;
use millstream_pipeline::sink::{Sink, SinkError};
use millstream_testkit::{BrokerOptions, KafkaBroker, wait_until};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use std::collections::BTreeMap;

use crate::support::{READY_WITHIN, assert_all_done, new_topic_name, open, options, state, upsert};

/// librdkafka's properties for the certificates of a client.
const AUTHORITY: &str = "ssl.ca.pem";
const CERTIFICATE: &str = "ssl.certificate.pem";
const KEY: &str = "ssl.key.pem";

/// A certificate and its key, as PEM.
struct SignedCertificate {
    certificate: String,
    key: String,
}

fn signed(authority: &CertifiedIssuer<'_, KeyPair>, name: &str) -> SignedCertificate {
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new([name.to_owned()]).expect("a name");
    SignedCertificate {
        certificate: params.signed_by(&key, authority).expect("signed").pem(),
        key: key.serialize_pem(),
    }
}

/// A broker whose SASL listener uses TLS, and the properties of its clients.
async fn broker() -> (KafkaBroker, BTreeMap<String, String>) {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    // A name of its own: with the same name the certificates that it signs would look self-signed.
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
    let properties = [
        ("security.protocol", "SASL_SSL".to_owned()),
        ("sasl.mechanism", "SCRAM-SHA-256".to_owned()),
        ("sasl.username", KafkaBroker::SASL_USER.to_owned()),
        ("sasl.password", KafkaBroker::SASL_PASSWORD.to_owned()),
        (AUTHORITY, authority.pem()),
        (CERTIFICATE, client.certificate),
        (KEY, client.key),
    ];
    (broker, properties.map(|(name, value)| (name.to_owned(), value)).into())
}

/// Waits until the error of a connection contains one of these texts.
async fn refused(servers: &str, properties: BTreeMap<String, String>, texts: &[&str]) {
    let secrets: Vec<String> = properties.values().filter(|value| value.contains("PRIVATE KEY")).cloned().collect();
    let options =
        KafkaOptions { properties, answer_timeout: Duration::from_secs(4), ..options(servers, &new_topic_name()) };
    let sink = KafkaSink::new(options).expect("the names are right");
    // A broker that has just started may not respond in time, which is another error.
    wait_until(&format!("an error with one of {texts:?}"), READY_WITHIN, || async {
        let error = sink.prepare().await.expect_err("refused");
        let text = error.to_string();
        assert!(matches!(error, SinkError::Unavailable { .. }), "{text}");
        assert!(!secrets.iter().any(|secret| text.contains(secret.trim())), "{text}");
        texts.iter().any(|expected| text.to_lowercase().contains(expected))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn brokers_behind_tls_are_used_and_only_those_with_a_trusted_certificate() {
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
    // The certificate is for the address, so another name of the same broker is refused.
    let by_name = servers.replace("127.0.0.1", "localhost");
    refused(&by_name, properties, &["certificate verify failed"]).await;
}
