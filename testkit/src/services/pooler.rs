//! PgBouncer in front of a database.

use std::{
    fs::{self, Permissions},
    net::{Ipv4Addr, TcpListener},
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use millstream_store::connect::{ConnectOptions, SslMode};
use tempfile::TempDir;
use tokio::net::TcpStream;

use crate::skip::report_skip;
use crate::wait::wait_until;

/// Time limit of a start.
const START: Duration = Duration::from_secs(20);

/// Runs a program until end-of-file: this process holds the other end of the pipe, however it ends.
const SUPERVISE: &str = r#""$@" & pid=$!; read -r _; kill "$pid"; wait "$pid""#;

/// A running PgBouncer; ended when dropped.
#[derive(Debug)]
pub struct Pooler {
    child: Child,
    port: u16,
    _folder: TempDir,
}

/// The program: `MILLSTREAM_TEST_PGBOUNCER`, or the one of the system.
fn program() -> Option<PathBuf> {
    let named = std::env::var_os("MILLSTREAM_TEST_PGBOUNCER").map(PathBuf::from);
    let installed = ["/usr/sbin/pgbouncer", "/usr/bin/pgbouncer", "/usr/local/bin/pgbouncer"].map(PathBuf::from);
    named.into_iter().chain(installed).find(|path| path.is_file())
}

impl Pooler {
    /// Starts it in front of a database, with the pool mode `transaction` or `session`. Reports the skip and returns
    /// `None` where PgBouncer is not installed.
    pub async fn start(database: &ConnectOptions, mode: &str) -> Option<Self> {
        let Some(program) = program() else {
            report_skip("PgBouncer is not installed, and MILLSTREAM_TEST_PGBOUNCER names none");
            return None;
        };
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).expect("its permissions can be changed");
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
        let port = free.expect("a free port").port();
        let password = String::from_utf8_lossy(database.password().unwrap_or_default()).into_owned();
        let config = format!(
            "[databases]\n{name} = host={host} port={server} user={user} password='{password}'\n\
             [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nauth_type = any\npool_mode = {mode}\n\
             unix_socket_dir =\nserver_tls_sslmode = disable\n",
            name = database.dbname(),
            host = database.host(),
            server = database.port(),
            user = database.user(),
        );
        let file = folder.path().join("pgbouncer.ini");
        fs::write(&file, config).expect("the configuration can be written");
        let mut command = Command::new("sh");
        command.args(["-c", SUPERVISE, "sh"]).arg(program).arg(&file);
        if nix::unistd::geteuid().is_root() {
            // It refuses to run as root.
            command.args(["-u", "daemon"]);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().expect("a shell starts");
        let pooler = Self { child, port, _folder: folder };
        wait_until("PgBouncer to listen", START, || async {
            TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.is_ok()
        })
        .await;
        Some(pooler)
    }

    /// Returns the options to reach the database through it.
    pub fn options(&self, database: &ConnectOptions) -> ConnectOptions {
        database.clone().with_address("127.0.0.1", self.port).with_ssl_mode(SslMode::Disable)
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        // An error means that the shell has ended by itself.
        drop(self.child.wait());
    }
}
