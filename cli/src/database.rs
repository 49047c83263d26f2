//! Which database a command works with: the one that is configured, or the managed cluster of the data folder, started
//! for the occasion or shared with the process that runs on it.

use crate::{
    config::Config,
    control::{self, ControlError},
    failure::Failure,
};
use millstream_pipeline::binding::Binding;
use millstream_store::{
    cluster::{ClusterOptions, ManagedCluster, SUPERUSER, Shutdown},
    connect::{ConnectOptions, Database, SslMode},
    error::StoreError,
    provision,
};
use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

/// Folder of the managed cluster in the data folder.
const CLUSTER_DIR: &str = "postgres";
/// The database in it.
const DATABASE: &str = "millstream";

/// Which database this is, as its queue and its copies keep it.
pub async fn binding(database: &Database) -> Result<Binding, Failure> {
    let found = provision::fingerprint(database).await.map_err(Failure::failed)?;
    let none =
        || Failure::failed("the database does not say which one it is: `millstream ddl apply` builds its tables");
    Ok(Binding::postgresql(found.ok_or_else(none)?.database_uuid))
}

/// No connection to the database.
#[derive(Debug, thiserror::Error)]
#[error("cannot connect to {server} (check database.url, and that the server runs)")]
struct Unconnected {
    server: String,
    source: StoreError,
}

/// A database to work with, and the server if it is ours to stop.
#[derive(Debug)]
pub struct Server {
    /// How to reach the database.
    pub options: ConnectOptions,
    /// The managed cluster that this process started.
    pub cluster: Option<ManagedCluster>,
}

impl Server {
    /// The configured database, or the managed cluster, started (and made, if need be) by this process.
    pub async fn own(config: &Config) -> Result<Self, Failure> {
        if let Some(options) = &config.database.url {
            return Ok(Self { options: options.clone(), cluster: None });
        }
        let directory = cluster_dir(config);
        let options = ClusterOptions { port: config.database.managed_port, ..ClusterOptions::default() };
        let cluster = ManagedCluster::start(&directory, options).await.map_err(Failure::failed)?;
        match cluster.ensure_database(DATABASE).await {
            Ok(()) => Ok(Self { options: cluster.connect_options(DATABASE), cluster: Some(cluster) }),
            Err(error) => {
                stop(cluster, config.shutdown_deadline).await?;
                Err(Failure::failed(error))
            }
        }
    }

    /// The same database as the process that runs on this data folder, if there is one; else as [`Server::own`].
    pub async fn shared(config: &Config) -> Result<Self, Failure> {
        match control::ask(&config.data_dir).await {
            Ok(_) if config.database.url.is_none() => {
                Ok(Self { options: running(&cluster_dir(config))?, cluster: None })
            }
            Ok(_) | Err(ControlError::NotRunning(_)) => Self::own(config).await,
            Err(error) => Err(error.into()),
        }
    }

    /// A pool of connections.
    pub async fn connect(&self, connections: usize) -> Result<Database, Failure> {
        let connected = Database::connect(&self.options, connections).await;
        connected.map_err(|source| Failure::failed(Unconnected { server: self.options.to_string(), source }))
    }

    /// Stops the server if this process started it.
    pub async fn close(self, deadline: Duration) -> Result<(), Failure> {
        match self.cluster {
            Some(cluster) => stop(cluster, deadline).await,
            None => Ok(()),
        }
    }
}

async fn stop(cluster: ManagedCluster, deadline: Duration) -> Result<(), Failure> {
    // A fast shutdown writes a checkpoint: without time for it the next start would have to recover.
    let deadline = deadline.max(Duration::from_secs(5));
    if cluster.stop(deadline).await.map_err(Failure::failed)? == Shutdown::Forced {
        tracing::warn!("PostgreSQL had to be stopped at once: it will recover at the next start");
    }
    Ok(())
}

fn cluster_dir(config: &Config) -> PathBuf {
    config.data_dir.join(CLUSTER_DIR)
}

/// How to reach a cluster that another process runs: its folder holds the port and the password.
fn running(directory: &Path) -> Result<ConnectOptions, Failure> {
    let read = |name: &str| {
        let file = directory.join(name);
        fs::read_to_string(&file)
            .map(|text| text.trim().to_owned())
            .map_err(|error| Failure::failed(format!("cannot read {} of the running cluster: {error}", file.display())))
    };
    let port = read("port")?;
    let port = port.parse().map_err(|_| {
        Failure::failed(format!("{} holds '{port}', which is no port", directory.join("port").display()))
    })?;
    Ok(ConnectOptions::new("127.0.0.1", port, SUPERUSER, DATABASE)
        .with_password(&read("password")?)
        .with_ssl_mode(SslMode::Disable))
}
