//! Millstream as a separate process: the binary of the same build as the benchmark.

use crate::connection::status_of;
use crate::failure::Failure;
use millstream_store::connect::{ConnectOptions, Host};
use millstream_testkit::World;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};
use tokio::process::{Child, Command};

const START_DEADLINE: Duration = Duration::from_secs(60);

/// A running `millstream up`; dropping it kills the process.
pub(crate) struct Process {
    child: Child,
    pub(crate) address: SocketAddr,
    /// From the start of the process until it was ready.
    pub(crate) ready_after: Duration,
}

/// Schema, database, folders and settings of a process.
pub(crate) struct Launch {
    pub(crate) world: &'static World,
    pub(crate) database: ConnectOptions,
    pub(crate) data_dir: PathBuf,
    /// File for the log.
    pub(crate) log: PathBuf,
    /// Additional settings as environment variables.
    pub(crate) settings: Vec<(&'static str, String)>,
}

/// Returns the path of the binary of the same build.
pub(crate) fn binary() -> Result<PathBuf, Failure> {
    let path = std::env::current_exe()?.with_file_name("millstream");
    if path.is_file() {
        Ok(path)
    } else {
        Err(format!("{} is missing: run `make bench`, which builds it", path.display()).into())
    }
}

/// Checks that `millstream load` accepted every line. The error has its account: the refused lines with their answers.
pub(crate) fn check_loaded(load: &Output) -> Result<(), Failure> {
    if load.status.success() {
        return Ok(());
    }
    let [account, log] = [&load.stdout, &load.stderr].map(|text| String::from_utf8_lossy(text));
    Err(format!("millstream load did not accept all documents ({}):\n{account}{log}", load.status).into())
}

impl Launch {
    /// Formats the database as a URL for the environment of the process, never for the command line, which every user of
    /// the machine can read.
    pub(crate) fn url(&self) -> Result<String, Failure> {
        let options = &self.database;
        let Host::Tcp(host) = options.host() else { return Err("the bench cluster listens on TCP".into()) };
        let password = String::from_utf8(options.password().unwrap_or_default().to_vec())?;
        Ok(format!("postgres://{}:{password}@{host}:{}/{}", options.user(), options.port(), options.dbname()))
    }

    /// Builds a `millstream` command with these settings.
    pub(crate) fn command(&self, arguments: &[&str]) -> Result<Command, Failure> {
        let schema: Vec<String> = self.world.corpus.schema_paths().iter().map(|p| p.display().to_string()).collect();
        let mut command = Command::new(binary()?);
        command
            .args(arguments)
            .env("MILLSTREAM_SCHEMA", schema.join(":"))
            .env("MILLSTREAM_DATABASE_URL", self.url()?)
            .env("MILLSTREAM_DATA_DIR", &self.data_dir)
            .env("MILLSTREAM_LOG_LEVEL", "warn")
            .envs(self.settings.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .kill_on_drop(true);
        Ok(command)
    }
}

impl Process {
    /// Starts the process and waits until it is ready.
    pub(crate) async fn start(launch: &Launch) -> Result<Self, Failure> {
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let log = std::fs::File::create(&launch.log)?;
        let started = Instant::now();
        let child = launch
            .command(&["up"])?
            .env("MILLSTREAM_API_LISTEN", address.to_string())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()?;
        let mut up = Self { child, address, ready_after: Duration::ZERO };
        loop {
            if let Some(status) = up.child.try_wait()? {
                let log = std::fs::read_to_string(&launch.log)?;
                return Err(format!("millstream up ended with {status}:\n{log}").into());
            }
            if status_of(address, "/health/ready").await.is_ok_and(|status| status == 200) {
                up.ready_after = started.elapsed();
                return Ok(up);
            }
            if started.elapsed() > START_DEADLINE {
                return Err("millstream up was not ready in time".into());
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Returns the process id.
    pub(crate) fn pid(&self) -> Result<u32, Failure> {
        self.child.id().ok_or_else(|| "millstream up has ended".into())
    }

    /// Returns the resident memory in MiB.
    pub(crate) fn resident_mib(&self) -> Result<f64, Failure> {
        let pid = self.pid()?;
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).ok_or("no VmRSS")?;
        let kib: f64 = line.split_whitespace().nth(1).ok_or("no VmRSS value")?.parse()?;
        Ok(kib / 1024.0)
    }

    /// Sends SIGTERM and waits for the end.
    pub(crate) async fn stop(mut self) -> Result<(), Failure> {
        let pid = self.pid()?;
        Command::new("kill").args(["-TERM", &pid.to_string()]).status().await?;
        let status = self.child.wait().await?;
        if status.success() { Ok(()) } else { Err(format!("millstream up ended with {status}").into()) }
    }
}
