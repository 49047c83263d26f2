//! The node behind TLS, with a private certificate authority.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use millstream_connectors::sink::opensearch::{OpenSearchIndexes, OpenSearchOptions};
use millstream_pipeline::sink::SinkError;
use millstream_pipeline::sink::generations::Generations;
use millstream_testkit::OpenSearchNode;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::support::{assert_all_done, new_prefix, open, options, state, upsert};

/// Returns a certificate authority and a server configuration with a certificate signed by it.
fn certificates() -> (String, ServerConfig) {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("a certificate");
    let key = KeyPair::generate().expect("a key");
    let server = CertificateParams::new(["localhost".to_owned()]).expect("a name");
    let certificate = server.signed_by(&key, &authority).expect("signed");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("protocol versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], PrivateKeyDer::Pkcs8(key.serialize_der().into()))
        .expect("a key for the certificate");
    (authority.pem(), config)
}

/// Terminates TLS and forwards to the target while the test runs. Returns the port.
async fn terminate(config: ServerConfig, target: SocketAddr) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
    let port = listener.local_addr().expect("a bound socket has an address").port();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    tokio::spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            connections.spawn(async move {
                // A client that does not trust the certificate disconnects.
                let Ok(mut client) = acceptor.accept(stream).await else { return };
                let mut node = TcpStream::connect(target).await.expect("the node");
                drop(copy_bidirectional(&mut client, &mut node).await);
            });
        }
    });
    port
}

#[tokio::test]
async fn a_server_is_trusted_by_its_authority_and_by_nothing_else() {
    let (authority, config) = certificates();
    let port = terminate(config, OpenSearchNode::shared().await.address()).await;
    let secure = |host: &str| OpenSearchOptions {
        user: Some(("millstream".to_owned(), "hunter2".to_owned())),
        answer_timeout: Duration::from_secs(10),
        ..options(&format!("https://{host}:{port}"), &new_prefix())
    };
    let trusting = |host| OpenSearchOptions { ca_certificates: Some(authority.clone().into_bytes()), ..secure(host) };
    let (_, sink) = open(trusting("localhost")).await;
    assert_all_done(&sink.put(&[upsert(1, 5, "one")]).await);
    assert_eq!(state(&*sink).await.len(), 1);

    for stranger in [secure("localhost"), trusting("127.0.0.1")] {
        let indexes = OpenSearchIndexes::new(stranger).expect("the options are right");
        let error = indexes.live().await.expect_err("not trusted");
        assert!(matches!(error, SinkError::Unavailable { .. }), "{error}");
        let text = format!("{error} {indexes:?}");
        assert!(text.contains("certificate") && !text.contains("hunter2"), "{text}");
    }
    let no_pem =
        OpenSearchOptions { ca_certificates: Some(b"-----BEGIN CERTIFICATE-----\nx".to_vec()), ..secure("localhost") };
    assert!(OpenSearchIndexes::new(no_pem).is_err());
}
