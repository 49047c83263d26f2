//! A server that presents a certificate of another authority.

use super::setting::end_sessions;
use super::under_traffic;
use crate::installation::{Installation, direct};
use crate::support::process::url;
use crate::support::random::Random;
use crate::support::session;
use millstream_store::connect::{ConnectOptions, Session};
use millstream_testkit::TestCluster;
use millstream_testkit::tls::authority;
use rcgen::{CertificateParams, KeyPair};
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;
use std::time::Duration;

/// How long the other certificate is there: three attempts at a document take less.
const EXCHANGED: Duration = Duration::from_secs(20);
/// Time in which entries gather before the exchange.
const BACKLOG: Duration = Duration::from_secs(2);
const OWN: &str = "own";
const OTHER: &str = "other";

/// Gives the server a certificate, makes another, and returns the options to reach it with the certificate checked.
pub(crate) async fn enable(cluster: &TestCluster, database: &ConnectOptions, folder: &Path) -> ConnectOptions {
    let data = fs::metadata(cluster.directory().join("data")).expect("the data directory");
    let trusted = folder.join("authority.pem");
    for name in [OWN, OTHER] {
        let authority = authority(name);
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(["127.0.0.1".to_owned()]).expect("an address");
        let certificate = params.signed_by(&key, &authority).expect("signed");
        for (ending, text) in [("pem", certificate.pem()), ("key", key.serialize_pem())] {
            let file = cluster.directory().join(format!("{name}.{ending}"));
            fs::write(&file, text).expect("written");
            fs::set_permissions(&file, Permissions::from_mode(0o600)).expect("closed");
            chown(&file, Some(data.uid()), Some(data.gid())).expect("given");
        }
        if name == OWN {
            fs::write(&trusted, authority.pem()).expect("written");
        }
    }
    present(&session::open(&direct(cluster)).await, cluster.directory(), OWN).await;
    let tls = format!("sslmode=verify-full&sslrootcert={}", trusted.display());
    url(database).replace("sslmode=disable", &tls).parse().expect("valid options")
}

/// Lets the server present a certificate.
async fn present(admin: &Session, directory: &Path, name: &str) {
    for (setting, value) in [
        ("ssl_cert_file", directory.join(format!("{name}.pem")).display().to_string()),
        ("ssl_key_file", directory.join(format!("{name}.key")).display().to_string()),
        ("ssl", "on".to_owned()),
    ] {
        let sql = format!("ALTER SYSTEM SET {setting} = '{value}'");
        admin.batch_execute(&sql).await.expect("the setting can be changed");
    }
    admin.batch_execute("SELECT pg_reload_conf()").await.expect("the settings can be read again");
}

/// Exchanges the certificate while work is pending, ends all sessions, and puts the certificate back.
pub(super) async fn exchange(installation: &mut Installation, random: &mut Random) {
    let (admin, directory) = (installation.session().await, installation.cluster.directory());
    let fault = async {
        // The projector cannot store bodies: the entries of what is written are pending when the sessions end.
        let holder = installation.session().await;
        let lock = r#"BEGIN; LOCK TABLE "dms"."DocumentCache" IN EXCLUSIVE MODE"#;
        holder.batch_execute(lock).await.expect("the table can be locked");
        tokio::time::sleep(BACKLOG).await;
        present(&admin, directory, OTHER).await;
        end_sessions(&admin).await;
        tokio::time::sleep(EXCHANGED).await;
        present(&admin, directory, OWN).await;
    };
    under_traffic(&installation.traffic, random, fault).await;
}
