//! The server that is written to: `millstream up`, or API and writer alone in a process of this program.

use super::part::Part;
use crate::failure::Failure;
use crate::process::{Launch, Process};
use crate::setup::Setup;
use millstream_api::{Api, ApiOptions, ApiParts, ServerOptions, StoreReader};
use millstream_pipeline::memory::MemoryBudget;
use millstream_store::connect::{ConnectOptions, Database, PoolOptions, SessionSettings};
use millstream_store::load::Caches;
use millstream_testkit::World;
use millstream_writer::{BatchOptions, Writer, WriterOptions};
use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio_util::sync::CancellationToken;

/// Sessions of writes without batching, as in `millstream up`.
const SESSIONS: usize = 11;
/// As in `millstream up`.
const BATCH_LOCK: Duration = Duration::from_millis(250);

/// The server of one round.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    process: Running,
}

enum Running {
    Up(Process),
    Writer(Child),
}

impl Server {
    /// Starts the server on a database and waits until it is ready.
    pub(crate) async fn start(
        setup: &Setup,
        database: &ConnectOptions,
        part: Part,
        batching: bool,
    ) -> Result<Self, Failure> {
        let batching = if batching { "on" } else { "off" };
        let launch = setup.launch(database)?;
        if part == Part::Whole {
            let mut settings = vec![("MILLSTREAM_WRITER_BATCHING", batching.to_owned())];
            settings.push(("MILLSTREAM_SINKS", "embedded".to_owned()));
            let up = Process::start(&Launch { settings, ..launch }).await?;
            return Ok(Self { address: up.address, process: Running::Up(up) });
        }
        let mut child = Command::new(std::env::current_exe()?)
            .args(["serve", batching])
            .env(DATABASE, launch.url()?)
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let output = child.stdout.take().ok_or("no output")?;
        let line = BufReader::new(output).lines().next_line().await?.ok_or("the server ended")?;
        Ok(Self { address: line.parse()?, process: Running::Writer(child) })
    }

    pub(crate) fn pid(&self) -> Result<u32, Failure> {
        match &self.process {
            Running::Up(up) => up.pid(),
            Running::Writer(child) => child.id().ok_or_else(|| "the server has ended".into()),
        }
    }

    pub(crate) async fn stop(self) -> Result<(), Failure> {
        match self.process {
            Running::Up(up) => up.stop().await,
            Running::Writer(mut child) => Ok(child.kill().await?),
        }
    }
}

/// The variable with the URL of the database.
const DATABASE: &str = "MILLSTREAM_BENCH_DATABASE";

/// Serves API and writer on a free port, which it prints, until the process is killed: `bench serve on|off`.
pub(crate) async fn serve(batching: bool) -> Result<(), Failure> {
    let options: ConnectOptions = std::env::var(DATABASE)?.parse()?;
    let world = World::corpus().unwrap_or_else(World::fixtures);
    let settings = SessionSettings { lock_timeout: Some(Duration::from_secs(5)), ..SessionSettings::default() };
    let writes = PoolOptions { settings, ..PoolOptions::of_size(SESSIONS) };
    let writer = Writer::new(Database::new(&options, writes)?, Arc::clone(&world.mapping), WriterOptions::default())?;
    let writer = if batching {
        let lanes = std::env::var("MILLSTREAM_WRITER_LANES").ok().and_then(|lanes| lanes.parse().ok());
        let batching = BatchOptions { lanes: lanes.unwrap_or(2), ..BatchOptions::default() };
        let settings = SessionSettings { lock_timeout: Some(BATCH_LOCK), ..SessionSettings::default() };
        let pool = PoolOptions { settings, ..PoolOptions::of_size(batching.lanes) };
        let (writer, lanes) = writer.batching(Database::new(&options, pool)?, batching);
        tokio::spawn(lanes.run());
        writer
    } else {
        writer
    };
    let (caches, memory) = (Arc::new(Caches::default()), MemoryBudget::default());
    let reads = Database::new(&options, PoolOptions::of_size(SESSIONS))?;
    let parts = ApiParts {
        mapping: Arc::clone(&world.mapping),
        reader: Arc::new(StoreReader::new(reads, Arc::clone(&world.mapping), caches, memory)),
        writer: Arc::new(writer),
        probe: Arc::new(|| Box::pin(std::future::ready(Vec::new()))),
        metrics: Arc::new(String::new),
    };
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    let api = Api::new(parts, ApiOptions::default());
    let drained = millstream_api::serve(listener, api, CancellationToken::new(), ServerOptions::default()).await;
    Err(format!("the server ended by itself: {drained:?}").into())
}
