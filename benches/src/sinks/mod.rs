//! `bench sinks`: compares the copies outside the database with their limits in one run.
//!
//! Runs Millstream with a real broker and a real search node. Loads everything through the process; then measures how
//! long searches take and how soon edits at a steady rate and renames reach every copy. Last, with the process stopped,
//! delivers to each sink alone, alternating with a baseline client that sends the same bytes. Nothing is asserted.

mod baseline_kafka;
mod baseline_opensearch;
mod baseline_tantivy;
mod deliveries;
mod hub;
mod installation;
mod memory;
mod probe;
mod rates;
mod rename;
mod searches;
mod topic;
mod visible;

use crate::failure::Failure;
use crate::process::Process;
use crate::table;
use installation::{Installation, wait_delivered};
use memory::Memory;
use millstream_search::SearchModel;
use searches::Searches;
use std::time::Instant;

const WITHOUT_EMBEDDED: &str = "kafka,opensearch";
const ALL: &str = "embedded,kafka,opensearch";

/// Command-line options.
pub(crate) struct Options {
    /// Rounds per sink and limit.
    pub(crate) rounds: usize,
    /// Documents per round.
    pub(crate) documents: usize,
    /// Use the fixtures of the repository, as a smoke test.
    pub(crate) small: bool,
    /// Measure only the rates of each sink alone.
    pub(crate) rates_only: bool,
}

pub(crate) async fn run(options: &Options) -> Result<(), Failure> {
    let started = Instant::now();
    let installation = Installation::create(options.small).await?;
    let model = SearchModel::of(&installation.world.mapping);
    println!(
        "{} · {} documents · one broker, one search node, all on this machine",
        installation.data, installation.documents
    );
    let (mut memory, mut searches) = (Memory::default(), Searches::default());
    load(&installation, &mut memory, &mut searches).await?;
    if !options.rates_only {
        measure_copies(&installation, &model, &mut memory, &mut searches).await?;
        searches.print(installation.documents);
        measure_idle(&installation, &mut memory).await?;
        memory.print();
    }
    rates::measure(&installation, options.rounds, options.documents).await?;
    println!("\n{:.0} s in all", started.elapsed().as_secs_f64());
    Ok(())
}

/// Loads everything into Kafka and OpenSearch.
async fn load(installation: &Installation, memory: &mut Memory, searches: &mut Searches) -> Result<(), Failure> {
    let launch = installation.launch(WITHOUT_EMBEDDED, "opensearch");
    let up = Process::start(&launch).await?;
    wait_delivered(&launch).await?;
    memory.sample(format!("{WITHOUT_EMBEDDED}: started on an empty database"), up.pid()?)?;
    let loaded = installation.load(&launch, &up).await?;
    memory.sample(format!("{WITHOUT_EMBEDDED}: after the load"), up.pid()?)?;
    let row = [
        format!("{:.0}", loaded.load.as_secs_f64()),
        format!("{:.0}", installation.documents as f64 / loaded.load.as_secs_f64()),
        format!("{:.1}", loaded.behind.as_secs_f64()),
    ];
    table::print(
        "everything loaded through the API, 8 connections, lanes to Kafka and OpenSearch on",
        &["load, s", "documents/s", "all copies complete after the last answer, s"],
        &[row.to_vec()],
    );
    searches.measure("OpenSearch", installation, &up).await?;
    memory.sample(format!("{WITHOUT_EMBEDDED}: after searches"), up.pid()?)?;
    up.stop().await
}

/// Fills the embedded index, and measures edits and renames in all copies.
async fn measure_copies(
    installation: &Installation,
    model: &SearchModel,
    memory: &mut Memory,
    searches: &mut Searches,
) -> Result<(), Failure> {
    let launch = installation.launch(ALL, "embedded");
    let up = Process::start(&launch).await?;
    let started = Instant::now();
    wait_delivered(&launch).await?;
    let seconds = started.elapsed().as_secs_f64();
    println!("\nembedded index added: {} documents backfilled in {seconds:.1} s", installation.documents);
    memory.sample(format!("{ALL}: after the backfill of the index"), up.pid()?)?;
    searches.measure("embedded", installation, &up).await?;
    visible::measure(installation, model, &up).await?;
    wait_delivered(&launch).await?;
    rename::measure(installation, model, &launch, &up).await?;
    memory.sample(format!("{ALL}: after searches, edits and renames"), up.pid()?)?;
    up.stop().await
}

/// Measures the memory of an idle process that is started on the loaded data.
async fn measure_idle(installation: &Installation, memory: &mut Memory) -> Result<(), Failure> {
    let launch = installation.launch(ALL, "embedded");
    let up = Process::start(&launch).await?;
    wait_delivered(&launch).await?;
    memory.sample(format!("{ALL}: started on what is loaded, at rest"), up.pid()?)?;
    up.stop().await
}
