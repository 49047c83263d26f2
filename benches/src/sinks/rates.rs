//! Measures documents per second into each sink, compared with a baseline client that sends the same bytes. Rounds
//! alternate; medians are printed.

use super::deliveries;
use super::installation::Installation;
use super::{baseline_kafka, baseline_opensearch, baseline_tantivy};
use crate::failure::Failure;
use crate::table;
use futures::future::BoxFuture;
use millstream_connectors::sink::embedded::{EmbeddedOptions, EmbeddedStore};
use millstream_connectors::sink::kafka::{KafkaOptions, KafkaSink};
use millstream_connectors::sink::opensearch::{OpenSearchIndexes, OpenSearchOptions};
use millstream_pipeline::sink::generations::Generations;
use millstream_pipeline::sink::{Delivery, Sink};
use millstream_search::SearchModel;
use std::sync::Arc;

/// Default number of partitions of the topic.
const PARTITIONS: u32 = 6;

/// The rates of one sink and its limits, by round.
#[derive(Default)]
struct Rates {
    sink: Vec<f64>,
    limits: Vec<(&'static str, Vec<f64>)>,
}

impl Rates {
    fn add(&mut self, sink: f64, limits: Vec<(&'static str, f64)>) {
        self.sink.push(sink);
        for (name, figure) in limits {
            match self.limits.iter_mut().find(|(known, _)| *known == name) {
                Some((_, figures)) => figures.push(figure),
                None => self.limits.push((name, vec![figure])),
            }
        }
    }

    fn rows(&self, sink: &str) -> Vec<Vec<String>> {
        let rate = table::median(&self.sink);
        let row = |(name, figures): &(&'static str, Vec<f64>)| {
            let limit = table::median(figures);
            let figures =
                [format!("{rate:.0}"), (*name).to_owned(), format!("{limit:.0}"), format!("{:.2}", rate / limit)];
            std::iter::once(sink.to_owned()).chain(figures).collect()
        };
        self.limits.iter().map(row).collect()
    }
}

/// One round of the sink and one of each limit.
type Round<'a> = BoxFuture<'a, Result<(f64, Vec<(&'static str, f64)>), Failure>>;

pub(super) async fn measure(installation: &Installation, rounds: usize, documents: usize) -> Result<(), Failure> {
    let mut all = deliveries::read(&installation.session().await?, documents).await?;
    let model = Arc::new(SearchModel::of(&installation.world.mapping));
    let bytes = all.iter().map(Delivery::bytes).sum::<usize>() / all.len().max(1);
    let (mut rows, mut scans) = (Vec::new(), Vec::new());

    let servers = installation.kafka.bootstrap_servers();
    let kafka = KafkaRounds::open(&servers, installation, &mut all).await?;
    rows.extend(run(rounds, &mut all, |all| Box::pin(kafka.round(all))).await?.rows("Kafka"));
    scans.push(("Kafka", deliveries::scan(&kafka.sink).await?));
    drop(kafka);

    let search = OpenSearchRounds::open(&installation.opensearch.url(), &model, &mut all).await?;
    rows.extend(run(rounds, &mut all, |all| Box::pin(search.round(all))).await?.rows("OpenSearch"));
    scans.push(("OpenSearch", deliveries::scan(&*search.sink).await?));
    drop(search);

    let (folder, store, sink) = open_embedded(installation, &model).await?;
    deliveries::put(&*sink, &all).await?;
    scans.push(("embedded index", deliveries::scan(&*sink).await?));
    drop((sink, store, folder));
    let rates = run(rounds, &mut all, |all| Box::pin(embedded(installation, &model, all))).await?;
    rows.extend(rates.rows("embedded index"));
    table::print(
        &format!("delivered to each sink by itself: {} rows of the cache, {bytes} bytes each on average", all.len()),
        &["sink", "documents/s", "limit: the same bytes, made before, same batches", "documents/s", "ratio"],
        &rows,
    );
    let scans: Vec<_> = scans.into_iter().map(|(sink, rate)| vec![sink.to_owned(), format!("{rate:.0}")]).collect();
    table::print("read back whole, as `millstream verify` does, once", &["sink", "versions/s"], &scans);
    Ok(())
}

async fn run<'a>(
    rounds: usize,
    all: &mut [Delivery],
    mut round: impl FnMut(Vec<Delivery>) -> Round<'a>,
) -> Result<Rates, Failure> {
    let mut rates = Rates::default();
    for _ in 0..rounds {
        deliveries::increment_versions(all);
        let (sink, limits) = round(all.to_vec()).await?;
        rates.add(sink, limits);
    }
    Ok(rates)
}

struct KafkaRounds {
    sink: KafkaSink,
    baseline: baseline_kafka::KafkaBaseline,
}

impl KafkaRounds {
    /// Creates topics for the sink and each limit, and reads the records back from a first round.
    async fn open(servers: &str, installation: &Installation, all: &mut [Delivery]) -> Result<Self, Failure> {
        let topic = "bench-sink";
        let resources = installation.world.schema.resource_keys.clone();
        let options = KafkaOptions { partitions: PARTITIONS, ..KafkaOptions::new(servers, topic, resources) };
        let sink = KafkaSink::new(options)?;
        sink.prepare().await?;
        deliveries::put(&sink, all).await?;
        let limits = sink.limits();
        let baseline = baseline_kafka::KafkaBaseline::open(servers, topic, PARTITIONS, all.len(), limits).await?;
        Ok(Self { sink, baseline })
    }

    async fn round(&self, all: Vec<Delivery>) -> Result<(f64, Vec<(&'static str, f64)>), Failure> {
        let sink = deliveries::put(&self.sink, &all).await?;
        Ok((
            sink,
            vec![
                ("rdkafka, idempotent producer", self.baseline.idempotent().await?),
                ("rdkafka, transactional producer", self.baseline.transactional().await?),
            ],
        ))
    }
}

struct OpenSearchRounds {
    model: Arc<SearchModel>,
    sink: Arc<dyn Sink>,
    baseline: baseline_opensearch::OpenSearchBaseline,
}

impl OpenSearchRounds {
    /// Creates two generations under a separate prefix; a first round of both creates their indexes.
    async fn open(url: &str, model: &Arc<SearchModel>, all: &mut [Delivery]) -> Result<Self, Failure> {
        let prefix = "bench";
        let indexes = OpenSearchIndexes::new(OpenSearchOptions::new(url, prefix, Arc::clone(model)))?;
        let sink = indexes.sink(indexes.live().await?)?;
        sink.prepare().await?;
        let other = indexes.create().await?;
        for sink in [Arc::clone(&sink), indexes.sink(other)?] {
            deliveries::put(&*sink, all).await?;
        }
        let baseline = baseline_opensearch::OpenSearchBaseline::new(url, prefix, other);
        Ok(Self { model: Arc::clone(model), sink, baseline })
    }

    async fn round(&self, all: Vec<Delivery>) -> Result<(f64, Vec<(&'static str, f64)>), Failure> {
        let batches = deliveries::batches(&all, &*self.sink);
        let bulks = baseline_opensearch::bulks(&self.baseline, &self.model, &batches)?;
        let limit = self.baseline.send(bulks, self.sink.limits().in_flight_max).await?;
        let sink = deliveries::put(&*self.sink, &all).await?;
        Ok((sink, vec![("reqwest, POST _bulk", limit)]))
    }
}

/// Opens a new, empty index. Dropping the folder deletes it.
async fn open_embedded(
    installation: &Installation,
    model: &Arc<SearchModel>,
) -> Result<(tempfile::TempDir, EmbeddedStore, Arc<dyn Sink>), Failure> {
    let folder = tempfile::Builder::new().prefix("embedded-").tempdir_in(installation.folder.path())?;
    let store = EmbeddedStore::open(&EmbeddedOptions::new(folder.path().join("sink")), Arc::clone(model))?;
    let sink = store.sink(store.live().await?)?;
    sink.prepare().await?;
    Ok((folder, store, sink))
}

/// Measures one round into a new, empty index, like the baseline writer.
async fn embedded(
    installation: &Installation,
    model: &Arc<SearchModel>,
    all: Vec<Delivery>,
) -> Result<(f64, Vec<(&'static str, f64)>), Failure> {
    let (folder, store, sink) = open_embedded(installation, model).await?;
    let rate = deliveries::put(&*sink, &all).await?;
    let batch_documents = sink.limits().batch_documents_max;
    drop((sink, store));
    let (model, baseline) = (Arc::clone(model), folder.path().join("baseline"));
    let heap_bytes = EmbeddedOptions::new(folder.path()).writer_heap_bytes;
    let writing = move || baseline_tantivy::write(&baseline, &model, &all, batch_documents, heap_bytes);
    let limit = tokio::task::spawn_blocking(writing).await??;
    Ok((rate, vec![("tantivy, one writer", limit)]))
}
