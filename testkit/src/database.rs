//! Databases for single tests.

use std::{
    collections::HashMap,
    fmt::Display,
    sync::{
        Arc, LazyLock, Mutex,
        atomic::{AtomicU32, Ordering},
    },
};

use millstream_store::connect::{ConnectOptions, Database, Session};
use tokio::sync::OnceCell;

use crate::{cluster::TestCluster, slots};

/// Size of a test database's connection pool.
const POOL_SIZE: usize = 16;

static NEXT: AtomicU32 = AtomicU32::new(1);

type Templates = HashMap<String, Arc<OnceCell<String>>>;
static TEMPLATES: LazyLock<Mutex<Templates>> = LazyLock::new(Mutex::default);

/// A database for one test. Dropping the value drops the database with its slots.
#[derive(Debug)]
pub struct TestDatabase {
    database: Database,
    admin: ConnectOptions,
}

impl TestDatabase {
    /// Creates an empty database in the shared cluster.
    pub async fn create() -> Self {
        Self::create_in(TestCluster::shared().await).await
    }

    /// Creates an empty database in `cluster`.
    pub async fn create_in(cluster: &TestCluster) -> Self {
        Self::clone_of(cluster, "template0").await
    }

    /// Creates a copy of the template `name` in the shared cluster. `init` fills the template, once per process and
    /// name, in an empty database. A copy is much faster than another `init`.
    ///
    /// # Panics
    /// When `init` fails.
    pub async fn from_template<F, Fut, E>(name: &str, init: F) -> Self
    where
        F: FnOnce(Database) -> Fut,
        Fut: Future<Output = Result<(), E>>,
        E: Display,
    {
        let cluster = TestCluster::shared().await;
        let cell = {
            let mut templates = TEMPLATES.lock().expect("no test panicked while it held the lock");
            Arc::clone(templates.entry(name.to_owned()).or_default())
        };
        let template = cell.get_or_init(|| create_template(cluster, name, init)).await;
        Self::clone_of(cluster, template).await
    }

    /// Copies a database of `cluster` in its current state. Ends all sessions of the original.
    pub async fn copy_of(cluster: &TestCluster, original: &Self) -> Self {
        let name = original.options().dbname();
        let terminate = "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = $1";
        cluster.admin().await.execute(terminate, &[&name]).await.expect("sessions can be ended");
        Self::clone_of(cluster, name).await
    }

    async fn clone_of(cluster: &TestCluster, template: &str) -> Self {
        Self { database: copy(cluster, template, "test").await, admin: cluster.connect_options("postgres") }
    }

    /// Returns the database.
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// Returns the options to connect to it.
    pub fn options(&self) -> &ConnectOptions {
        self.database.options()
    }

    /// Opens a connection outside the pool.
    pub async fn session(&self) -> Session {
        Session::open(self.options()).await.expect("the test database accepts connections")
    }
}

impl Drop for TestDatabase {
    /// Waits until the database is dropped, on a separate thread: the test's runtime may be shutting down.
    fn drop(&mut self) {
        self.database.close();
        let (admin, name) = (self.admin.clone(), self.options().dbname().to_owned());
        let removal = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                // If the test has stopped the cluster, its database needs no removal.
                let Ok(session) = Session::open(&admin).await else { return };
                slots::drop_all(&session, &name).await;
                session
                    .batch_execute(&format!("DROP DATABASE IF EXISTS \"{name}\" WITH (FORCE)"))
                    .await
                    .unwrap_or_else(|error| panic!("database {name} cannot be dropped: {error:?}"));
            });
        });
        // A second panic during unwinding would abort the process and hide the first.
        if removal.join().is_err() && !std::thread::panicking() {
            panic!("the test database was not removed: the reason is above");
        }
    }
}

/// Creates a database as a copy of another and connects to it.
async fn copy(cluster: &TestCluster, template: &str, prefix: &str) -> Database {
    let name = format!("{prefix}_{}", NEXT.fetch_add(1, Ordering::Relaxed));
    let session = cluster.admin().await;
    session
        .batch_execute(&format!("CREATE DATABASE \"{name}\" TEMPLATE \"{template}\""))
        .await
        .unwrap_or_else(|error| panic!("cannot copy {template}: {error:?}"));
    let options = cluster.connect_options(&name);
    Database::connect(&options, POOL_SIZE).await.expect("the test database accepts connections")
}

/// Creates a template database. It lives as long as the cluster.
async fn create_template<F, Fut, E>(cluster: &TestCluster, name: &str, init: F) -> String
where
    F: FnOnce(Database) -> Fut,
    Fut: Future<Output = Result<(), E>>,
    E: Display,
{
    let database = copy(cluster, "template0", "template").await;
    if let Err(error) = init(database.clone()).await {
        panic!("cannot create template {name}: {error}");
    }
    database.close();
    let template = database.options().dbname().to_owned();
    let session = cluster.admin().await;
    // PostgreSQL does not copy a database with sessions.
    session
        .batch_execute(&format!("ALTER DATABASE \"{template}\" ALLOW_CONNECTIONS false"))
        .await
        .expect("the template can be closed");
    session
        .execute("SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = $1", &[&template])
        .await
        .expect("the template's sessions can be ended");
    template
}
