//! Measures writes over HTTP (`make bench-write`): batching off and on, beside binary COPY of the same rows into the same
//! tables with the same constraints. Every configuration runs once in each round, on a copy of the same database.

mod client;
mod cpu;
mod part;
mod server;
mod statements;

pub(crate) use part::Part;
pub(crate) use server::serve;

use crate::failure::Failure;
use crate::setup::Setup;
use crate::{copy, table};
use client::{Load, load};
use cpu::{CpuTime, client_cpu, cluster_cpu, process_cpu};
use millstream_store::connect::{ConnectOptions, Session};
use server::Server;
use std::sync::Arc;

/// The configurations to measure, and how often.
#[derive(Debug)]
pub(crate) struct WriteOptions {
    pub(crate) rounds: usize,
    pub(crate) documents: usize,
    pub(crate) connections: Vec<usize>,
    /// Only API and writer, without a projector.
    pub(crate) parts: Vec<Part>,
    pub(crate) batching: Vec<bool>,
    /// Prints the time of each statement.
    pub(crate) statements: bool,
}

/// One configuration.
#[derive(Debug, Clone, Copy)]
struct Case {
    part: Part,
    batching: bool,
    connections: usize,
}

/// The measurements of one round of a configuration.
#[derive(Debug)]
struct Sample {
    rate: f64,
    again: f64,
    p50_ms: f64,
    p99_ms: f64,
    wal_bytes: f64,
    wal_bytes_again: f64,
    cpu_us: CpuTime,
    repeats: usize,
}

/// Runs all configurations and prints the table.
pub(crate) async fn run(options: &WriteOptions) -> Result<(), Failure> {
    let setup = Setup::create(options.statements).await?;
    let documents = Arc::new(setup.more[..options.documents.min(setup.more.len())].to_vec());
    println!(
        "{} · {} base documents · {} documents a round · {} rounds · medians",
        setup.describe(),
        setup.base_documents,
        documents.len(),
        options.rounds
    );
    let cases: Vec<Case> = options
        .parts
        .iter()
        .flat_map(|part| options.batching.iter().map(move |batching| (*part, *batching)))
        .flat_map(|(part, batching)| {
            options.connections.iter().map(move |connections| Case { part, batching, connections: *connections })
        })
        .collect();
    let mut samples: Vec<Vec<Sample>> = cases.iter().map(|_| Vec::new()).collect();
    let mut limits = Vec::new();
    for round in 0..options.rounds {
        for (at, case) in cases.iter().enumerate() {
            let database = setup.copy("write").await?;
            let above = copy::last_document(&database).await?;
            samples[at].push(measure(&setup, &database, *case, &documents, options.statements).await?);
            if at == 0 {
                let rows = copy::out(&setup, &database, above).await?;
                let limit = setup.copy("write_limit").await?;
                limits.push(documents.len() as f64 / copy::into(&rows, &limit).await?.as_secs_f64());
                setup.remove("write_limit").await?;
            }
            setup.remove("write").await?;
        }
        eprintln!("round {} of {}", round + 1, options.rounds);
    }
    print(&cases, &samples, table::median(&limits));
    Ok(())
}

async fn measure(
    setup: &Setup,
    database: &ConnectOptions,
    case: Case,
    documents: &Arc<Vec<millstream_testkit::corpus::Document>>,
    statements: bool,
) -> Result<Sample, Failure> {
    let server = Server::start(setup, database, case.part, case.batching).await?;
    let session = Session::open(database).await?;
    let (cluster, own, started) = (setup.cluster.pid(), client_cpu()?, wal_position(&session).await?);
    let (before, before_server) = (cluster_cpu(cluster)?, process_cpu(server.pid()?)?);
    if statements {
        statements::start(&session).await?;
    }
    let Load { seconds, latencies_ms, repeats } = load(server.address, documents, case.connections).await?;
    let count = documents.len() as f64;
    let per_document = |seconds: f64| seconds * 1e6 / count;
    let cpu_us = CpuTime {
        client: per_document(client_cpu()? - own),
        server: per_document(process_cpu(server.pid()?)? - before_server),
        postgres: per_document(cluster_cpu(cluster)? - before),
    };
    let written = wal_position(&session).await?;
    if statements {
        statements::print(&session, documents.len()).await?;
    }
    let again = load(server.address, documents, case.connections).await?;
    let sample = Sample {
        rate: count / seconds,
        again: count / again.seconds,
        p50_ms: table::percentile(&latencies_ms, 0.5),
        p99_ms: table::percentile(&latencies_ms, 0.99),
        wal_bytes: (written - started) / count,
        wal_bytes_again: (wal_position(&session).await? - written) / count,
        cpu_us,
        repeats,
    };
    server.stop().await?;
    Ok(sample)
}

fn print(cases: &[Case], samples: &[Vec<Sample>], limit: f64) {
    let median =
        |samples: &[Sample], of: fn(&Sample) -> f64| table::median(&samples.iter().map(of).collect::<Vec<f64>>());
    for part in [Part::Writer, Part::Whole] {
        let rows: Vec<Vec<String>> = cases
            .iter()
            .zip(samples)
            .filter(|(case, _)| case.part == part)
            .map(|(case, samples)| {
                let rate = median(samples, |sample| sample.rate);
                vec![
                    case.connections.to_string(),
                    if case.batching { "on" } else { "off" }.to_owned(),
                    format!("{rate:.0}"),
                    format!("{:.3}", rate / limit),
                    format!("{:.1}", median(samples, |sample| sample.p50_ms)),
                    format!("{:.1}", median(samples, |sample| sample.p99_ms)),
                    format!("{:.0}", median(samples, |sample| sample.wal_bytes)),
                    format!("{:.0}", median(samples, |sample| sample.cpu_us.client)),
                    format!("{:.0}", median(samples, |sample| sample.cpu_us.server)),
                    format!("{:.0}", median(samples, |sample| sample.cpu_us.postgres)),
                    format!("{:.0}", median(samples, |sample| sample.repeats as f64)),
                    format!("{:.0}", median(samples, |sample| sample.again)),
                    format!("{:.1}", median(samples, |sample| sample.wal_bytes_again)),
                ]
            })
            .collect();
        if rows.is_empty() {
            continue;
        }
        table::print(
            &format!("writes over HTTP, {}; limit: binary COPY of the same rows, {limit:.0} documents/s", part.name()),
            &[
                "connections",
                "batching",
                "documents/s",
                "of COPY",
                "p50, ms",
                "p99, ms",
                "WAL, B",
                "CPU client, us",
                "server",
                "PostgreSQL",
                "repeated",
                "unchanged/s",
                "WAL, B",
            ],
            &rows,
        );
    }
}

async fn wal_position(session: &Session) -> Result<f64, Failure> {
    Ok(session.query_one("SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::float8", &[]).await?.get(0))
}
