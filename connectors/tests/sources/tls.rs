//! The replication connection under TLS: encrypted where the mode asks for it, and refused if the server is not verified.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

use millstream_connectors::source::slot::{LogicalOptions, LogicalSource, ensure_slot, slot_status};
use millstream_pipeline::source::{ChangeSource, SourceError};
use millstream_store::connect::{Session, SslMode};
use millstream_testkit::tls::authority;
use millstream_testkit::{TestCluster, wait_until};
use rcgen::{CertificateParams, KeyPair};

use crate::support::{PATIENCE, logical_options};

const TABLE_SQL: &str = r#"
    CREATE SCHEMA dms;
    CREATE TABLE dms."Outbox" (id int8);
    CREATE PUBLICATION millstream_outbox FOR TABLE dms."Outbox" WITH (publish = 'insert')"#;
const ENCRYPTED_SQL: &str = "SELECT count(*) > 0 AND bool_and(s.ssl) FROM pg_stat_ssl AS s
       JOIN pg_stat_activity AS a USING (pid) WHERE a.application_name = 'millstream source'";

fn write(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, text).expect("written");
    path
}

/// A cluster with a certificate for `localhost`, and the file of the authority that signed it.
async fn cluster(folder: &Path) -> (TestCluster, PathBuf) {
    let authority = authority("ours");
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(["localhost".to_owned()]).expect("a name");
    let certificate = params.signed_by(&key, &authority).expect("signed");
    let certificate = write(folder, "server.pem", &certificate.pem());
    let key = write(folder, "server.key", &key.serialize_pem());
    fs::set_permissions(folder, Permissions::from_mode(0o711)).expect("opened up");
    fs::set_permissions(&key, Permissions::from_mode(0o600)).expect("closed");
    // The server's account has to own the key, as it owns the data of every cluster.
    let data = fs::metadata(TestCluster::shared().await.directory().join("data")).expect("data of a server");
    chown(&key, Some(data.uid()), Some(data.gid())).expect("given");
    let mut options = TestCluster::fast_options();
    options.settings.extend([
        ("ssl".to_owned(), "on".to_owned()),
        ("ssl_cert_file".to_owned(), certificate.display().to_string()),
        ("ssl_key_file".to_owned(), key.display().to_string()),
    ]);
    (TestCluster::start(options).await, write(folder, "authority.pem", &authority.pem()))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_replication_connection_is_encrypted_and_its_server_proven() {
    let folder = tempfile::tempdir().expect("a folder");
    let (cluster, trusted) = cluster(folder.path()).await;
    let stranger = write(folder.path(), "stranger.pem", &authority("theirs").pem());
    let session = Session::open(&cluster.connect_options("postgres")).await.expect("a session");
    session.batch_execute(TABLE_SQL).await.expect("made");
    let with = |host: &str, ssl_mode, root: Option<&Path>| LogicalOptions {
        host: host.to_owned(),
        ssl_mode,
        ssl_root_cert: root.map(Path::to_owned),
        ..logical_options(&cluster.connect_options("postgres"), "slot_tls")
    };

    let proven = with("localhost", SslMode::VerifyFull, Some(&trusted));
    let slot = ensure_slot(&proven).await.expect("a slot");
    for (options, encrypted) in [
        (with("localhost", SslMode::Disable, None), false),
        (with("127.0.0.1", SslMode::Prefer, None), true),
        (with("127.0.0.1", SslMode::Require, None), true),
        (proven, true),
    ] {
        let source = LogicalSource::start(options.clone(), slot.position, None).expect("a source");
        let active = || async { slot_status(&options).await.expect("a status").is_some_and(|slot| slot.active) };
        wait_until("the slot is read", PATIENCE, active).await;
        let found: bool = session.query_one(ENCRYPTED_SQL, &[]).await.expect("read").get(0);
        assert_eq!(found, encrypted, "{options:?}");
        Box::new(source).shutdown().await.expect("shut down");
    }

    for (options, says) in [
        (with("127.0.0.1", SslMode::VerifyFull, Some(&trusted)), "certificate"),
        (with("localhost", SslMode::VerifyFull, Some(&stranger)), "certificate"),
        (with("localhost", SslMode::VerifyFull, Some(&folder.path().join("missing"))), "sslrootcert"),
    ] {
        let error = slot_status(&options).await.expect_err("an unproven server");
        let SourceError::Refused { detail, .. } = &error else { panic!("{options:?}: {error}") };
        assert!(detail.contains(says), "{options:?}: {detail}");
    }

    let plain = TestCluster::shared().await.connect_options("postgres");
    let plain = |ssl_mode| LogicalOptions { ssl_mode, ..logical_options(&plain, "slot_tls") };
    assert_eq!(slot_status(&plain(SslMode::Prefer)).await.expect("a server without TLS"), None);
    let error = slot_status(&plain(SslMode::Require)).await.expect_err("a server without TLS");
    assert!(matches!(&error, SourceError::Refused { detail, .. } if detail.contains("sslmode")), "{error}");
}
