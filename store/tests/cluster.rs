//! The managed cluster, with real servers: created, found again, taken over, refused, and distinguished from stale
//! files.

#![allow(clippy::print_stdout, reason = "a test that does not apply says so")]

use std::{
    collections::BTreeMap,
    fs,
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use millstream_store::{
    cluster::{ClusterError, ClusterOptions, ManagedCluster, Shutdown},
    connect::{ConnectOptions, Session, SslMode},
};
use millstream_testkit::{cluster::watch, wait_until};

const DEADLINE: Duration = Duration::from_secs(60);

/// A folder whose server is quit and which is removed when the test ends, however it ends.
struct Folder {
    path: PathBuf,
    _watchdog: Child,
}

impl Folder {
    fn new() -> Self {
        let path = tempfile::Builder::new().prefix("millstream-cluster-").tempdir().expect("a folder").keep();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o711)).expect("opened up");
        let watchdog = watch(&path);
        Self { path, _watchdog: watchdog }
    }
}

fn quick() -> ClusterOptions {
    ClusterOptions { durable: false, ..ClusterOptions::default() }
}

fn quick_with(name: &str, value: &str) -> ClusterOptions {
    ClusterOptions { settings: BTreeMap::from([(name.to_owned(), value.to_owned())]), ..quick() }
}

async fn start(folder: &Folder, options: ClusterOptions) -> ManagedCluster {
    ManagedCluster::start(&folder.path, options).await.unwrap_or_else(|error| panic!("{error}"))
}

async fn refused(folder: &Folder, options: ClusterOptions) -> ClusterError {
    ManagedCluster::start(&folder.path, options).await.expect_err("the start is refused")
}

async fn setting(cluster: &ManagedCluster, name: &str) -> String {
    let session = Session::open(&cluster.connect_options("postgres")).await.expect("connects");
    session.query_one("SELECT current_setting($1)", &[&name]).await.expect("a setting").get(0)
}

#[tokio::test]
async fn it_lets_in_only_who_knows_the_password() {
    let folder = Folder::new();
    let cluster = start(&folder, quick()).await;
    assert!(!cluster.was_adopted());
    assert_eq!(setting(&cluster, "wal_level").await, "logical");
    assert_eq!(setting(&cluster, "listen_addresses").await, "127.0.0.1");
    assert_eq!(setting(&cluster, "unix_socket_directories").await, "");
    let mode = fs::metadata(folder.path.join("password")).expect("a password file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    let anonymous = ConnectOptions::new("127.0.0.1", cluster.port(), "postgres", "postgres");
    for options in [anonymous.clone(), anonymous.with_password("guess")] {
        assert!(Session::open(&options.with_ssl_mode(SslMode::Disable)).await.is_err());
    }
    let session = Session::open(&cluster.connect_options("postgres")).await.expect("connects");
    let methods: Vec<String> = session
        .query("SELECT DISTINCT auth_method FROM pg_hba_file_rules", &[])
        .await
        .expect("rules")
        .iter()
        .map(|row| row.get(0))
        .collect();
    assert_eq!(methods, ["scram-sha-256"]);
    assert_eq!(cluster.stop(DEADLINE).await.expect("stops"), Shutdown::Clean);
}

#[tokio::test]
async fn a_second_start_finds_data_and_port_again() {
    let folder = Folder::new();
    let cluster = start(&folder, quick()).await;
    let port = cluster.port();
    cluster.ensure_database("millstream").await.expect("made");
    cluster.ensure_database("millstream").await.expect("there already");
    cluster.stop(DEADLINE).await.expect("stops");

    let cluster = start(&folder, quick()).await;
    assert_eq!(cluster.port(), port);
    assert!(Session::open(&cluster.connect_options("millstream")).await.is_ok());
    cluster.stop(DEADLINE).await.expect("stops");
}

#[tokio::test]
async fn a_cluster_whose_owner_lives_is_refused() {
    let folder = Folder::new();
    let cluster = start(&folder, quick()).await;
    let error = refused(&folder, quick()).await;
    assert!(matches!(error, ClusterError::InUse { owner: Some(pid), .. } if pid == std::process::id()), "{error}");
    cluster.stop(DEADLINE).await.expect("stops");
    start(&folder, quick()).await.stop(DEADLINE).await.expect("stops");
}

/// Not a test: the body of the process that the next tests start and kill.
#[tokio::test]
async fn owner_process() {
    let Some(directory) = std::env::var_os("MILLSTREAM_TEST_OWNER") else { return };
    let cluster = ManagedCluster::start(Path::new(&directory), quick()).await.expect("starts");
    fs::write(Path::new(&directory).join("ready"), cluster.pid().to_string()).expect("written");
    std::future::pending::<()>().await;
}

/// Starts a cluster in another process, kills that process, and returns the id of the server that it leaves behind.
async fn abandoned_server(folder: &Folder) -> u32 {
    let mut owner = Command::new(std::env::current_exe().expect("a program"))
        .args(["--exact", "owner_process"])
        .env("MILLSTREAM_TEST_OWNER", &folder.path)
        .stdout(Stdio::null())
        .spawn()
        .expect("the owner runs");
    let ready = folder.path.join("ready");
    let pid = || fs::read_to_string(&ready).ok().and_then(|text| text.parse().ok());
    wait_until("the other process has its cluster", DEADLINE, || std::future::ready(pid().is_some())).await;
    owner.kill().and_then(|()| owner.wait()).expect("the owner is killed");
    pid().expect("written a moment ago")
}

#[tokio::test]
async fn a_server_left_by_a_killed_owner_is_taken_over() {
    let folder = Folder::new();
    let left_behind = abandoned_server(&folder).await;
    let mut cluster = start(&folder, quick()).await;
    assert!(cluster.was_adopted());
    assert_eq!(cluster.pid(), left_behind);
    assert_eq!(cluster.exit_reason(), None);
    assert_eq!(setting(&cluster, "wal_level").await, "logical");
    assert_eq!(cluster.stop(DEADLINE).await.expect("stops"), Shutdown::Clean);
    assert!(!start(&folder, quick()).await.was_adopted());
}

#[tokio::test]
async fn a_server_left_behind_with_other_settings_is_restarted() {
    let folder = Folder::new();
    let left_behind = abandoned_server(&folder).await;
    let cluster = start(&folder, quick_with("work_mem", "9MB")).await;
    assert!(!cluster.was_adopted());
    assert_ne!(cluster.pid(), left_behind);
    assert_eq!(setting(&cluster, "work_mem").await, "9MB");
}

#[tokio::test]
async fn a_start_waits_for_a_server_that_is_still_stopping() {
    let folder = Folder::new();
    let cluster = start(&folder, quick()).await;
    let pid = cluster.pid();
    drop(cluster);
    let cluster = start(&folder, quick()).await;
    assert_ne!(cluster.pid(), pid);
    assert_eq!(cluster.stop(DEADLINE).await.expect("stops"), Shutdown::Clean);
}

#[tokio::test]
async fn a_pid_file_that_names_somebody_else_is_stale() {
    let folder = Folder::new();
    start(&folder, quick()).await.stop(DEADLINE).await.expect("stops");
    let file = folder.path.join("data/postmaster.pid");
    fs::write(&file, format!("{}\n{}\n0\n5432\n", std::process::id(), folder.path.display())).expect("written");
    assert!(!start(&folder, quick()).await.was_adopted());
}

#[tokio::test]
async fn a_failed_initdb_leaves_nothing_behind() {
    let folder = Folder::new();
    let binaries = folder.path.join("bin");
    fs::create_dir(&binaries).expect("made");
    for (name, script) in [
        ("postgres", "#!/bin/sh\necho 'postgres (PostgreSQL) 15.1'\n"),
        ("initdb", "#!/bin/sh\necho 'no space left on device' >&2\nexit 3\n"),
    ] {
        fs::write(binaries.join(name), script).expect("written");
        fs::set_permissions(binaries.join(name), fs::Permissions::from_mode(0o755)).expect("executable");
    }
    let error = refused(&folder, ClusterOptions { binaries: Some(binaries.clone()), ..quick() }).await;
    assert!(matches!(&error, ClusterError::Init { output, .. } if output.contains("no space left")), "{error}");
    for left in ["data", "data.new", "initdb.password"] {
        assert!(!folder.path.join(left).exists(), "{left} was left behind");
    }
    // The leftovers of a killed initdb are not an obstacle either.
    fs::create_dir_all(folder.path.join("data.new/base")).expect("made");
    start(&folder, quick()).await.stop(DEADLINE).await.expect("stops");

    fs::write(folder.path.join("data/PG_VERSION"), "9\n").expect("written");
    let error = refused(&folder, quick()).await;
    assert!(error.to_string().contains("install postgresql-9"), "{error}");
    let error = refused(&folder, ClusterOptions { binaries: Some(folder.path.join("none")), ..quick() }).await;
    assert!(matches!(error, ClusterError::OtherMajor { major: 9, .. }), "{error}");
}

#[tokio::test]
async fn what_keeps_a_server_from_starting_is_said() {
    let folder = Folder::new();
    let error = refused(&folder, quick_with("shared_buffers", "nonsense")).await;
    assert!(matches!(&error, ClusterError::NotStarted { log } if log.contains("shared_buffers")), "{error}");

    let error = refused(&folder, quick_with("listen_addresses", "*")).await;
    assert!(matches!(&error, ClusterError::ReservedSetting { name } if name == "listen_addresses"), "{error}");

    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("bound").port();
    let error = refused(&folder, ClusterOptions { port, ..quick() }).await;
    assert!(matches!(error, ClusterError::PortTaken { port: named } if named == port), "{error}");

    fs::remove_file(folder.path.join("password")).expect("removed");
    let error = refused(&folder, quick()).await;
    assert!(matches!(error, ClusterError::PasswordMissing { .. }), "{error}");
}

#[tokio::test]
async fn without_binaries_it_says_what_to_install() {
    let folder = Folder::new();
    let error = refused(&folder, ClusterOptions { binaries: Some(folder.path.join("none")), ..quick() }).await;
    assert!(matches!(error, ClusterError::NotInstalled { .. }), "{error}");
    assert!(error.to_string().contains("postgresql-15"), "{error}");
}

#[tokio::test]
async fn as_root_a_closed_parent_is_named() {
    if !nix::unistd::geteuid().is_root() {
        println!("not root: the server runs as we do, and no other account has to enter");
        return;
    }
    let folder = Folder::new();
    let closed = folder.path.join("closed");
    fs::create_dir(&closed).expect("made");
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).expect("closed");
    let started = ManagedCluster::start(&closed.join("cluster"), quick()).await;
    let error = started.expect_err("the server's account cannot enter");
    assert!(matches!(&error, ClusterError::NotEnterable { blocked, .. } if blocked.ends_with("closed")), "{error}");
}
