//! Connecting, TLS included, and what PostgreSQL's refusals turn into.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, chown},
    path::{Path, PathBuf},
    time::Duration,
};

use millstream_store::{
    connect::{ConnectOptions, Database, PoolOptions, Session, SessionSettings, SslMode},
    error::{ErrorKind, StoreError},
    retry::{RetryPolicy, with_retry},
};
use millstream_testkit::{Holder, TestCluster, TestDatabase, tls::authority};
use rcgen::{CertificateParams, KeyPair};

async fn tables(database: Database) -> Result<(), StoreError> {
    let client = database.get().await?;
    client
        .batch_execute(
            r#"CREATE TABLE "Hub" ("Id" int CONSTRAINT "PK_Hub" PRIMARY KEY, "V" int);
               CREATE TABLE "Spoke" ("Id" int, "HubId" int CONSTRAINT "FK_Spoke_Hub" REFERENCES "Hub");
               INSERT INTO "Hub" VALUES (1, 0), (2, 0); INSERT INTO "Spoke" VALUES (1, 1);"#,
        )
        .await?;
    Ok(())
}

async fn hub_and_spoke() -> TestDatabase {
    TestDatabase::from_template("hub and spoke", tables).await
}

async fn failure(database: &TestDatabase, sql: &str) -> StoreError {
    let client = database.database().get().await.expect("connects");
    client.batch_execute(sql).await.expect_err(sql)
}

#[tokio::test]
async fn violations_keep_their_names_and_their_values_apart() {
    let database = hub_and_spoke().await;
    let error = failure(&database, r#"INSERT INTO "Hub" VALUES (1, 0)"#).await;
    assert_eq!(error.kind(), &ErrorKind::UniqueViolation { constraint: "PK_Hub".to_owned() });
    assert_eq!((error.sqlstate(), error.constraint(), error.table()), (Some("23505"), Some("PK_Hub"), Some("Hub")));
    assert!(error.detail().is_some_and(|detail| detail.contains("(1)")));
    assert!(!error.to_string().contains("(1)"), "{error}");

    let expected = ErrorKind::ForeignKeyViolation { constraint: "FK_Spoke_Hub".to_owned(), table: "Spoke".to_owned() };
    for sql in [r#"INSERT INTO "Spoke" VALUES (2, 9)"#, r#"DELETE FROM "Hub" WHERE "Id" = 1"#] {
        assert_eq!(failure(&database, sql).await.kind(), &expected, "{sql}");
    }
    let error = failure(&database, r#"SELECT FROM "dms"."Document""#).await;
    assert!(matches!(error.kind(), ErrorKind::Schema { .. }), "{error}");
    let error = failure(&database, "SELECT 1 / 0").await;
    assert_eq!(error.kind(), &ErrorKind::Other);
    assert!(!error.is_retryable());
}

#[tokio::test]
async fn waiting_in_vain_is_told_apart_from_being_cancelled() {
    let database = hub_and_spoke().await;
    let _holder = Holder::hold(&database, r#"SELECT FROM "Hub" FOR UPDATE"#).await;
    let error = failure(&database, r#"SELECT FROM "Hub" FOR UPDATE NOWAIT"#).await;
    assert_eq!(error.kind(), &ErrorKind::LockTimeout);

    let settings = SessionSettings { statement_timeout: Some(Duration::from_millis(50)), ..SessionSettings::default() };
    let session = Session::open_with(database.options(), &settings).await.expect("connects");
    let error = StoreError::from(session.batch_execute(r#"SELECT FROM "Hub" FOR UPDATE"#).await.expect_err("waits"));
    assert_eq!(error.kind(), &ErrorKind::Cancelled);
}

#[tokio::test]
async fn a_deadlock_is_resolved_by_repeating() {
    let database = hub_and_spoke().await;
    let holder =
        Holder::hold(&database, r#"SET LOCAL deadlock_timeout = '1h'; UPDATE "Hub" SET "V" = 1 WHERE "Id" = 2"#).await;
    let crossing = |attempt: u32| {
        let database = database.database().clone();
        async move {
            let mut client = database.get().await?;
            let transaction = client.transaction().await?;
            transaction.batch_execute(r#"UPDATE "Hub" SET "V" = "V" + 10 WHERE "Id" = 1"#).await?;
            transaction.batch_execute(r#"UPDATE "Hub" SET "V" = "V" + 10 WHERE "Id" = 2"#).await?;
            transaction.commit().await?;
            Ok::<_, StoreError>(attempt)
        }
    };
    let policy = RetryPolicy { base: Duration::from_millis(10), ..RetryPolicy::default() };
    // The holder closes the circle once the other waits for it; only the other looks for deadlocks soon.
    let close = async {
        holder.wait_for_blocked(1).await;
        holder.execute(r#"UPDATE "Hub" SET "V" = 1 WHERE "Id" = 1"#).await;
        holder.commit().await;
    };
    let (outcome, ()) = tokio::join!(with_retry(&policy, "crossing", crossing), close);
    let attempts = outcome.unwrap_or_else(|error| panic!("{error}"));
    assert!(attempts > 1, "no attempt lost");
    let session = database.session().await;
    let rows = session.query(r#"SELECT "V" FROM "Hub" ORDER BY "Id""#, &[]).await.expect("reads");
    assert_eq!(rows.iter().map(|row| row.get(0)).collect::<Vec<i32>>(), [11, 11]);
}

#[tokio::test]
async fn no_setting_of_role_database_or_server_reaches_a_session() {
    let database = TestDatabase::create().await;
    let admin = database.session().await;
    let name = database.options().dbname();
    for setting in [
        "jit = on",
        "default_transaction_isolation = 'repeatable read'",
        "lock_timeout = '1ms'",
        "statement_timeout = '1s'",
        "idle_in_transaction_session_timeout = '1ms'",
        // Not shorter: it counts from the start of the session, before the session can set its own.
        "idle_session_timeout = '30s'",
    ] {
        admin.batch_execute(&format!("ALTER DATABASE \"{name}\" SET {setting}")).await.expect("set");
    }
    let sql = "SELECT current_setting('jit') || ' ' || current_setting('default_transaction_isolation') || ' ' || \
               current_setting('lock_timeout') || ' ' || current_setting('statement_timeout') || ' ' || \
               current_setting('idle_in_transaction_session_timeout') || ' ' || current_setting('idle_session_timeout') \
               || ' ' || current_setting('client_connection_check_interval') || ' ' || current_setting('application_name')";
    let options = database.options().clone().with_application_name("test");
    let session = Session::open(&options).await.expect("connects");
    let row = session.query_one(sql, &[]).await.expect("reads");
    assert_eq!(row.get::<_, String>(0), "off read committed 0 0 0 0 10s test");

    let settings = SessionSettings {
        lock_timeout: Some(Duration::from_secs(5)),
        statement_timeout: Some(Duration::from_secs(7)),
        idle_in_transaction_timeout: Some(Duration::from_secs(60)),
    };
    let pool = Database::new(&options, PoolOptions { settings, ..PoolOptions::of_size(1) }).expect("a pool");
    let row = pool.get().await.expect("connects").query_one(sql, &[]).await.expect("reads");
    assert_eq!(row.get::<_, String>(0), "off read committed 5s 7s 1min 0 10s test");
}

#[tokio::test]
async fn failures_of_connecting_are_told_apart_from_failures_of_statements() {
    let cluster = TestCluster::shared().await;
    let options = cluster.connect_options("postgres");
    let closed = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port");
    let error = Session::open(&options.clone().with_address("127.0.0.1", closed.port()))
        .await
        .expect_err("nothing listens there");
    assert_eq!((error.kind(), error.sqlstate()), (&ErrorKind::Connect, None), "{error}");
    let error = Database::connect(&options.clone().with_password("guess"), 1).await.expect_err("refused");
    assert_eq!((error.kind(), error.sqlstate()), (&ErrorKind::Connect, Some("28P01")));
    let error = Database::connect(&options.clone().with_dbname("nonsuch"), 1).await.expect_err("refused");
    assert_eq!((error.kind(), error.sqlstate()), (&ErrorKind::Connect, Some("3D000")));

    let pool = PoolOptions { wait: Duration::from_millis(20), ..PoolOptions::of_size(1) };
    let pool = Database::new(&options, pool).expect("a pool");
    let _taken = pool.get().await.expect("connects");
    let error = pool.get().await.expect_err("the only connection is taken");
    assert_eq!(error.kind(), &ErrorKind::Connect, "{error}");
}

/// A certificate authority and a server certificate for `localhost`, as files.
struct Certificates {
    authority: PathBuf,
    stranger: PathBuf,
    certificate: PathBuf,
    key: PathBuf,
}

fn certificates(folder: &Path) -> Certificates {
    let (ours, theirs) = (authority("ours"), authority("theirs"));
    let key = KeyPair::generate().expect("a key");
    let server = CertificateParams::new(["localhost".to_owned()]).expect("a name");
    let certificate = server.signed_by(&key, &ours).expect("signed");
    let write = |name: &str, text: String| {
        let path = folder.join(name);
        fs::write(&path, text).expect("written");
        path
    };
    let files = Certificates {
        authority: write("authority.pem", ours.pem()),
        stranger: write("stranger.pem", theirs.pem()),
        certificate: write("server.pem", certificate.pem()),
        key: write("server.key", key.serialize_pem()),
    };
    fs::set_permissions(folder, fs::Permissions::from_mode(0o711)).expect("opened up");
    fs::set_permissions(&files.key, fs::Permissions::from_mode(0o600)).expect("closed");
    if nix::unistd::geteuid().is_root() {
        let account = ["postgres", "nobody"].iter().find_map(|name| nix::unistd::User::from_name(name).ok().flatten());
        let account = account.expect("an account for the server");
        chown(&files.key, Some(account.uid.as_raw()), Some(account.gid.as_raw())).expect("given");
    }
    files
}

#[tokio::test]
async fn verify_full_accepts_the_named_server_by_its_authority_only() {
    let folder = tempfile::tempdir().expect("a folder");
    let files = certificates(folder.path());
    let mut cluster_options = TestCluster::fast_options();
    cluster_options.settings.extend([
        ("ssl".to_owned(), "on".to_owned()),
        ("ssl_cert_file".to_owned(), files.certificate.display().to_string()),
        ("ssl_key_file".to_owned(), files.key.display().to_string()),
    ]);
    let cluster = TestCluster::start(cluster_options).await;
    let direct = cluster.connect_options("postgres");
    let password = String::from_utf8(direct.password().expect("a password").to_vec()).expect("text");
    let url = |host: &str, rest: &str| -> ConnectOptions {
        let url = format!("postgres://postgres:{password}@{host}:{}/postgres?{rest}", direct.port());
        url.parse().unwrap_or_else(|error| panic!("{rest}: {error}"))
    };
    let verify = |authority: &Path| format!("sslmode=verify-full&sslrootcert={}", authority.display());

    for (options, encrypted) in [
        (url("localhost", "sslmode=disable"), false),
        (url("localhost", "sslmode=prefer"), true),
        (url("127.0.0.1", "sslmode=require&channel_binding=require"), true),
        (url("localhost", &verify(&files.authority)), true),
    ] {
        let session = Session::open(&options).await.unwrap_or_else(|error| panic!("{options:?}: {error}"));
        let row = session.query_one("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()", &[]).await;
        assert_eq!(row.expect("reads").get::<_, bool>(0), encrypted, "{options:?}");
    }
    for options in [
        url("127.0.0.1", &verify(&files.authority)),
        url("localhost", &verify(&files.stranger)),
        url("localhost", "sslmode=verify-full"),
    ] {
        let error = Session::open(&options).await.expect_err("an unproven server");
        assert_eq!(error.kind(), &ErrorKind::Connect, "{options:?}: {error}");
    }
    let plain = TestCluster::shared().await.connect_options("postgres").with_ssl_mode(SslMode::Require);
    let error = Session::open(&plain).await.expect_err("a server without TLS");
    assert_eq!(error.kind(), &ErrorKind::Connect, "{error}");
}
