//! The database of a command: the configured one, or the managed cluster of the data folder, which the command starts or
//! shares with the process that runs on it.

use crate::{
    config::Config,
    control::{self, ControlError},
    failure::Failure,
};
use millstream_pipeline::binding::Binding;
use millstream_store::{
    cluster::{ClusterOptions, ManagedCluster, SUPERUSER, Shutdown},
    connect::{ConnectOptions, Database, PoolerError, SslMode, check_sessions},
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
/// Name of the database in the managed cluster.
const DATABASE: &str = "millstream";
/// Least time for a shutdown of the managed cluster. A fast shutdown writes a checkpoint; without it the next start has to
/// recover.
const CLUSTER_STOP_MIN: Duration = Duration::from_secs(5);

/// Returns the identity of the database, to which its queue and its copies are bound.
pub async fn binding(database: &Database) -> Result<Binding, Failure> {
    let fingerprint = provision::fingerprint(database).await.map_err(Failure::failed)?;
    let missing = || Failure::failed("the database has no identity: run `millstream ddl apply` to create its tables");
    Ok(Binding::postgresql(fingerprint.ok_or_else(missing)?.database_uuid))
}

/// The database cannot be reached.
#[derive(Debug, thiserror::Error)]
#[error("cannot connect to {server} (check database.url, and that the server runs)")]
struct ConnectError {
    server: String,
    source: StoreError,
}

/// A database server, and the managed cluster if this process started it.
#[derive(Debug)]
pub struct Server {
    /// Address and credentials of the database.
    pub options: ConnectOptions,
    /// The managed cluster that this process started.
    pub cluster: Option<ManagedCluster>,
}

impl Server {
    /// Returns the configured database, or starts the managed cluster and creates it if necessary.
    pub async fn start(config: &Config) -> Result<Self, Failure> {
        if let Some(options) = &config.database.url {
            check_sessions(options).await.map_err(|error| match error {
                PoolerError::Store(source) => Failure::failed(ConnectError { server: options.to_string(), source }),
                error => Failure::usage(error),
            })?;
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

    /// Returns the database of the process that runs on this data folder; without one does the same as
    /// [`Server::start`].
    pub async fn attach(config: &Config) -> Result<Self, Failure> {
        match control::status(&config.data_dir).await {
            Ok(_) if config.database.url.is_none() => {
                Ok(Self { options: running(&cluster_dir(config))?, cluster: None })
            }
            Ok(_) | Err(ControlError::NotRunning(_)) => Self::start(config).await,
            Err(error) => Err(error.into()),
        }
    }

    /// Opens a pool of connections.
    pub async fn connect(&self, connections: usize) -> Result<Database, Failure> {
        let connected = Database::connect(&self.options, connections).await;
        connected.map_err(|source| Failure::failed(ConnectError { server: self.options.to_string(), source }))
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
    if cluster.stop(deadline.max(CLUSTER_STOP_MIN)).await.map_err(Failure::failed)? == Shutdown::Forced {
        tracing::warn!("forced PostgreSQL to stop at the deadline; it recovers at the next start");
    }
    Ok(())
}

fn cluster_dir(config: &Config) -> PathBuf {
    config.data_dir.join(CLUSTER_DIR)
}

/// Returns the address of a cluster that another process runs. Its folder holds the port and the password.
fn running(directory: &Path) -> Result<ConnectOptions, Failure> {
    let read = |name: &str| {
        let file = directory.join(name);
        fs::read_to_string(&file)
            .map(|text| text.trim().to_owned())
            .map_err(|error| Failure::failed(format!("cannot read {} of the running cluster: {error}", file.display())))
    };
    let port = read("port")?;
    let port = port.parse().map_err(|_| {
        Failure::failed(format!("{} holds '{port}': expected a port", directory.join("port").display()))
    })?;
    Ok(ConnectOptions::new("127.0.0.1", port, SUPERUSER, DATABASE)
        .with_password(&read("password")?)
        .with_ssl_mode(SslMode::Disable))
}
