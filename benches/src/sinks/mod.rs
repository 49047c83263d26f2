//! `bench sinks`: what the copies outside the database cost, each beside its limit, in one run.
//!
//! What it is: one life of the product with a real broker and a real search node. Everything is loaded through the process;
//! then searches, edits at a steady pace and renames are followed into every copy; at last, with the process stopped, each
//! sink is fed by itself, in turns with a bare client that sends the same bytes.
//! What it is not: a test. Nothing is asserted; ratios are printed.

mod bare_kafka;
mod bare_opensearch;
mod bare_tantivy;
mod deliveries;
mod hub;
mod memory;
mod place;
mod probe;
mod rates;
mod rename;
mod searches;
mod topic;
mod visible;

use crate::setup::Failure;
use crate::table;
use crate::up::Up;
use memory::Memory;
use millstream_search::{SearchModel, SearchResource};
use place::{Place, wait_delivered};
use searches::Searches;
use std::time::Instant;

const WITHOUT: &str = "kafka,opensearch";
const ALL: &str = "embedded,kafka,opensearch";

/// How much is done.
pub(crate) struct Options {
    /// Rounds of each sink and its limits.
    pub(crate) rounds: usize,
    /// Documents of such a round.
    pub(crate) documents: usize,
    /// On the fixtures of the repository, to see that all of it works.
    pub(crate) small: bool,
    /// Only each sink by itself beside its limit.
    pub(crate) rates_only: bool,
}

pub(crate) async fn run(options: &Options) -> Result<(), Failure> {
    let started = Instant::now();
    let place = Place::make(options.small).await?;
    let model = SearchModel::of(&place.world.mapping);
    println!("{} · {} documents · one broker, one search node, all on this machine", place.data, place.documents);
    let (mut memory, mut searches) = (Memory::default(), Searches::default());
    load(&place, &mut memory, &mut searches).await?;
    if !options.rates_only {
        follow(&place, &model, &mut memory, &mut searches).await?;
        searches.print(place.documents);
        rest(&place, &mut memory).await?;
        memory.print();
    }
    rates::measure(&place, options.rounds, options.documents).await?;
    println!("\n{:.0} s in all", started.elapsed().as_secs_f64());
    Ok(())
}

/// Everything is loaded into Kafka and OpenSearch.
async fn load(place: &Place, memory: &mut Memory, searches: &mut Searches) -> Result<(), Failure> {
    let launch = place.launch(WITHOUT, "opensearch");
    let up = Up::start(&launch).await?;
    wait_delivered(&launch).await?;
    memory.note(format!("{WITHOUT}: started on an empty database"), up.pid()?)?;
    let loaded = place.load(&launch, &up).await?;
    memory.note(format!("{WITHOUT}: after the load"), up.pid()?)?;
    let row = [
        format!("{:.0}", loaded.load.as_secs_f64()),
        format!("{:.0}", place.documents as f64 / loaded.load.as_secs_f64()),
        format!("{:.1}", loaded.behind.as_secs_f64()),
    ];
    table::print(
        "everything loaded through the API, 8 connections, lanes to Kafka and OpenSearch on",
        &["load, s", "documents/s", "all copies complete after the last answer, s"],
        &[row.to_vec()],
    );
    searches.measure("OpenSearch", place, &up).await?;
    memory.note(format!("{WITHOUT}: after searches"), up.pid()?)?;
    up.stop().await
}

/// The embedded index is filled as well, and edits and renames are followed into all copies.
async fn follow(
    place: &Place,
    model: &SearchModel,
    memory: &mut Memory,
    searches: &mut Searches,
) -> Result<(), Failure> {
    let launch = place.launch(ALL, "embedded");
    let up = Up::start(&launch).await?;
    let started = Instant::now();
    wait_delivered(&launch).await?;
    let seconds = started.elapsed().as_secs_f64();
    println!("\nembedded index added: {} documents backfilled in {seconds:.1} s", place.documents);
    memory.note(format!("{ALL}: after the backfill of the index"), up.pid()?)?;
    searches.measure("embedded", place, &up).await?;
    visible::measure(place, model, &up).await?;
    wait_delivered(&launch).await?;
    rename::measure(place, model, &launch, &up).await?;
    memory.note(format!("{ALL}: after searches, edits and renames"), up.pid()?)?;
    up.stop().await
}

/// What the process takes when it is started on all of it and has nothing to do.
async fn rest(place: &Place, memory: &mut Memory) -> Result<(), Failure> {
    let launch = place.launch(ALL, "embedded");
    let up = Up::start(&launch).await?;
    wait_delivered(&launch).await?;
    memory.note(format!("{ALL}: started on what is loaded, at rest"), up.pid()?)?;
    up.stop().await
}

/// What the names of a type's indexes in OpenSearch end with.
fn stem(resource: &SearchResource) -> String {
    if resource.is_descriptor {
        return "descriptors".to_owned();
    }
    format!("{}.{}", resource.project_endpoint, resource.endpoint).to_ascii_lowercase()
}
