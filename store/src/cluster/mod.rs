//! A managed PostgreSQL server, for a host that has the server binaries but no server.
//!
//! One directory holds everything: `data/` (the cluster itself), `password` (generated, mode 0600), `port` (the one
//! chosen), `lock` (held while a process owns the cluster) and `postgres.log`. The server listens on 127.0.0.1 only and
//! requires the password by SCRAM from every client: on a shared host, trusting loopback would trust every local
//! account.
//!
//! PostgreSQL refuses to run as root, so a process that is root starts it under the account `postgres`, else `nobody`.
//!
//! The server runs in a separate process group. It outlives a killed owner, and the next owner takes it over as it is;
//! a cluster whose owner is alive is refused. An owner holds a lock on a file, which the kernel releases however the
//! process ends.

mod account;
mod binaries;
mod error;
mod init;
mod layout;
mod postmaster;

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

pub use error::ClusterError;
pub use init::SUPERUSER;
use layout::{Layout, OwnerLock};
pub use postmaster::Shutdown;
use postmaster::{Postmaster, Readiness};

use crate::connect::{ConnectOptions, Session, SslMode};

/// Settings that decide which clients can reach the server; callers cannot change them.
const RESERVED_SETTINGS: [&str; 6] =
    ["listen_addresses", "port", "unix_socket_directories", "hba_file", "data_directory", "config_file"];

/// Maximum number of starts with another free port after the chosen one was taken.
const PORT_ATTEMPTS: usize = 5;

/// Options of a managed cluster.
#[derive(Debug, Clone)]
pub struct ClusterOptions {
    /// Port on 127.0.0.1; 0 chooses a free one and records it for the next start.
    pub port: u16,
    /// Server settings, which override Millstream's defaults.
    pub settings: BTreeMap<String, String>,
    /// Whether commits survive a crash of the machine. Only test clusters set `false`.
    pub durable: bool,
    /// Limit on the time until the server accepts connections, recovery after a crash included.
    pub start_timeout: Duration,
    /// Directory of `initdb` and `postgres`; if `None`, the usual places are searched.
    pub binaries: Option<PathBuf>,
}

impl Default for ClusterOptions {
    fn default() -> Self {
        Self {
            port: 0,
            settings: BTreeMap::new(),
            durable: true,
            start_timeout: Duration::from_secs(120),
            binaries: None,
        }
    }
}

impl ClusterOptions {
    /// The command line of the server, in one order for the same options: a running server is compared with it.
    fn arguments(&self, data: &Path, port: u16) -> Vec<String> {
        let port = port.to_string();
        let mut settings: BTreeMap<&str, &str> = BTreeMap::from([
            ("wal_level", "logical"),
            ("max_locks_per_transaction", "256"),
            ("max_replication_slots", "10"),
            ("max_wal_senders", "10"),
            ("password_encryption", "scram-sha-256"),
            ("timezone", "UTC"),
            ("log_timezone", "UTC"),
        ]);
        if !self.durable {
            settings.extend([("fsync", "off"), ("full_page_writes", "off")]);
        }
        settings.extend(self.settings.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        settings.extend([("listen_addresses", "127.0.0.1"), ("unix_socket_directories", ""), ("port", port.as_str())]);
        let mut arguments = vec!["-D".to_owned(), data.display().to_string()];
        for (name, value) in settings {
            arguments.extend(["-c".to_owned(), format!("{name}={value}")]);
        }
        arguments
    }
}

/// A running PostgreSQL server that this process owns.
///
/// Stop it with [`ManagedCluster::stop`]. Dropping it orders a shutdown without waiting for it.
#[derive(Debug)]
pub struct ManagedCluster {
    postmaster: Postmaster,
    connect: ConnectOptions,
    layout: Layout,
    adopted: bool,
    _lock: OwnerLock,
}

impl ManagedCluster {
    /// Creates the cluster under `directory` if there is none, and starts it; takes over a server that a killed process
    /// left running. Returns once it accepts connections.
    pub async fn start(directory: &Path, options: ClusterOptions) -> Result<Self, ClusterError> {
        if let Some(name) = options.settings.keys().find(|name| RESERVED_SETTINGS.contains(&name.as_str())) {
            return Err(ClusterError::ReservedSetting { name: name.clone() });
        }
        let account = account::for_server()?;
        let layout = Layout::prepare(directory, account.as_ref())?;
        let lock = OwnerLock::acquire(&layout)?;
        let binaries = binaries::find(options.binaries.as_deref(), layout.made_by_major()?)?;
        let password = layout.password()?;
        if layout.made_by_major()?.is_none() {
            let job = init::Init {
                binaries: binaries.clone(),
                layout: layout.clone(),
                account: account.clone(),
                durable: options.durable,
            };
            let given = password.clone();
            tokio::task::spawn_blocking(move || job.run(&given)).await.map_err(ClusterError::interrupted)??;
        }
        let starter = Starter { options, layout, account, binaries, password };
        let (postmaster, connect, adopted) = starter.run().await?;
        Ok(Self { postmaster, connect, layout: starter.layout, adopted, _lock: lock })
    }

    /// Options to connect to a database of this cluster as its superuser.
    pub fn connect_options(&self, dbname: &str) -> ConnectOptions {
        self.connect.clone().with_dbname(dbname)
    }

    /// Whether the server was already running, left by a process that was killed.
    pub fn was_adopted(&self) -> bool {
        self.adopted
    }

    /// Process id of the server.
    pub fn pid(&self) -> u32 {
        self.postmaster.pid()
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.connect.port()
    }

    /// The directory that was given to [`ManagedCluster::start`].
    pub fn directory(&self) -> &Path {
        self.layout.root()
    }

    /// The server's log.
    pub fn log_file(&self) -> PathBuf {
        self.layout.log()
    }

    /// The server's last output if it has ended by itself, else `None`.
    pub fn exit_reason(&mut self) -> Option<String> {
        self.postmaster.exit_reason()
    }

    /// Creates the database if it is not there yet.
    pub async fn ensure_database(&self, name: &str) -> Result<(), crate::error::StoreError> {
        let session = Session::open(&self.connect).await?;
        if session.query_opt("SELECT FROM pg_database WHERE datname = $1", &[&name]).await?.is_none() {
            let quoted = name.replace('"', "\"\"");
            session.batch_execute(&format!("CREATE DATABASE \"{quoted}\" TEMPLATE template0 ENCODING 'UTF8'")).await?;
        }
        Ok(())
    }

    /// Stops the server: a fast shutdown, and if that takes longer than `deadline`, an immediate one.
    pub async fn stop(mut self, deadline: Duration) -> Result<Shutdown, ClusterError> {
        self.postmaster.stop(deadline).await
    }
}

/// The parameters of a start.
struct Starter {
    options: ClusterOptions,
    layout: Layout,
    account: Option<account::Account>,
    binaries: PathBuf,
    password: String,
}

impl Starter {
    async fn run(&self) -> Result<(Postmaster, ConnectOptions, bool), ClusterError> {
        let deadline = Instant::now() + self.options.start_timeout;
        if let Some((postmaster, connect)) = self.adopt(deadline).await? {
            return Ok((postmaster, connect, true));
        }
        let mut last = None;
        for _ in 0..PORT_ATTEMPTS {
            let port = self.choose_port()?;
            match self.launch(port, deadline).await? {
                Some((postmaster, connect)) => return Ok((postmaster, connect, false)),
                None if self.options.port != 0 => return Err(ClusterError::PortTaken { port }),
                None => last = Some(port),
            }
        }
        Err(ClusterError::PortTaken { port: last.unwrap_or_default() })
    }

    /// Takes over a server that still runs on this data. A server with other settings than the requested ones is
    /// stopped.
    async fn adopt(&self, deadline: Instant) -> Result<Option<(Postmaster, ConnectOptions)>, ClusterError> {
        let Some((mut postmaster, port)) = Postmaster::running(&self.layout)? else { return Ok(None) };
        let asked_port = if self.options.port == 0 { port } else { self.options.port };
        let wanted = self.options.arguments(&self.layout.data(), asked_port);
        if asked_port != port || !self.layout.was_started_with(&wanted) {
            tracing::info!(pid = postmaster.pid(), "a server left running has other settings: restarting it");
            postmaster.stop(deadline.saturating_duration_since(Instant::now())).await?;
            return Ok(None);
        }
        let connect = self.connect_options(port);
        match postmaster.wait_until_ready(&connect, deadline).await? {
            Readiness::Ready => {
                tracing::info!(pid = postmaster.pid(), port, "took over the server that a killed process left running");
                Ok(Some((postmaster, connect)))
            }
            Readiness::Exited => Ok(None),
        }
    }

    /// Starts a server and waits for it; returns `None` if the port is taken.
    async fn launch(&self, port: u16, deadline: Instant) -> Result<Option<(Postmaster, ConnectOptions)>, ClusterError> {
        let arguments = self.options.arguments(&self.layout.data(), port);
        loop {
            let mut postmaster =
                Postmaster::spawn(&self.binaries.join("postgres"), &arguments, &self.layout, self.account.as_ref())?;
            let connect = self.connect_options(port);
            if postmaster.wait_until_ready(&connect, deadline).await? == Readiness::Ready {
                self.layout.remember_port(port)?;
                return Ok(Some((postmaster, connect)));
            }
            let log = postmaster.log_tail();
            if log.contains("could not bind") || log.contains("could not create any TCP/IP sockets") {
                return Ok(None);
            }
            // The sessions of a killed server take a moment to notice, and until then they hold its shared memory.
            if !log.contains("pre-existing shared memory block") || Instant::now() >= deadline {
                return Err(ClusterError::NotStarted { log });
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    fn choose_port(&self) -> Result<u16, ClusterError> {
        if self.options.port != 0 {
            return Ok(self.options.port);
        }
        if let Some(port) = self.layout.remembered_port()
            && TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
        {
            return Ok(port);
        }
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
        free.map(|address| address.port())
            .map_err(|source| ClusterError::io("find a free port on", "127.0.0.1", source))
    }

    fn connect_options(&self, port: u16) -> ConnectOptions {
        ConnectOptions::new("127.0.0.1", port, SUPERUSER, "postgres")
            .with_password(&self.password)
            .with_ssl_mode(SslMode::Disable)
    }
}
