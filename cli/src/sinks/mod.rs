//! What the configuration says about the copies of all documents: which there can be, and how each is opened.
//!
//! People name a sink (`kafka`); the durable queue names lanes. A sink whose content can be built anew beside what is live
//! has a lane for each generation (`opensearch-g2`), any other has one of its own name.

mod lane;
mod options;

pub use lane::LaneName;

use crate::{compiled::Compiled, config::Config, database::binding, failure::Failure};
use futures::future::BoxFuture;
use millstream_connectors::sink::embedded::{EmbeddedOptions, EmbeddedStore};
use millstream_connectors::sink::kafka::{KafkaOptions, KafkaSink};
use millstream_connectors::sink::opensearch::OpenSearchIndexes;
use millstream_pipeline::binding::Binding;
use millstream_pipeline::sink::{Sink, SinkError, generations::Generations};
use millstream_projector::sink_manager::SinkFactory;
use millstream_search::{SearchEngine, SearchModel};
use millstream_store::connect::Database;
use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

/// The names of all sinks that there can be.
pub const NAMES: [&str; 3] = ["embedded", "kafka", "opensearch"];

/// All sinks that are configured.
pub struct Sinks {
    /// The fields of all types, as searches know them.
    pub model: Arc<SearchModel>,
    kafka: Result<KafkaOptions, String>,
    opensearch: Result<Index, String>,
    embedded: EmbeddedOptions,
    /// Opened when it is needed first: its folder has one owner.
    embedded_open: Mutex<Option<Index>>,
}

/// A sink whose content can be built anew, and that answers searches.
#[derive(Clone)]
struct Index {
    generations: Arc<dyn Generations>,
    engine: Arc<dyn SearchEngine>,
}

impl Sinks {
    /// What the configuration names, as copies of this database. No sink is connected to yet.
    ///
    /// # Errors
    /// When the database does not say which one it is.
    pub async fn of(database: &Database, config: &Config, compiled: &Compiled) -> Result<Self, Failure> {
        Ok(Self::new(config, compiled, &binding(database).await?))
    }

    fn new(config: &Config, compiled: &Compiled, binding: &Binding) -> Self {
        let model = Arc::new(SearchModel::of(&compiled.mapping));
        let kafka = config.sinks.kafka.as_ref();
        let kafka = kafka.map(|kafka| options::kafka(kafka, compiled, binding));
        let kafka = kafka.ok_or_else(|| "no brokers are configured: set kafka.bootstrap_servers".to_owned());
        let opensearch = opensearch(config, &model, binding);
        let embedded = options::embedded(&config.sinks.embedded, binding);
        Self { model, kafka, opensearch, embedded, embedded_open: Mutex::default() }
    }

    /// The lane that a sink of this name gets when it is added: for one with generations that of the live one.
    ///
    /// # Errors
    /// When there is no such sink, or its generations cannot be asked for.
    pub async fn lane_of_new(&self, sink: &str) -> Result<String, SinkError> {
        if sink == "kafka" {
            return Ok(sink.to_owned());
        }
        let generation = self.generations(sink)?.live().await?;
        Ok(LaneName { sink, generation: Some(generation) }.to_string())
    }

    /// The generations of a sink.
    ///
    /// # Errors
    /// When there is no such sink, it is not configured, or it has none.
    pub fn generations(&self, sink: &str) -> Result<Arc<dyn Generations>, SinkError> {
        Ok(self.index(sink)?.generations)
    }

    /// What answers searches: the sink of this name.
    ///
    /// # Errors
    /// When there is no such sink, it is not configured, or it answers none.
    pub fn engine(&self, sink: &str) -> Result<Arc<dyn SearchEngine>, SinkError> {
        Ok(self.index(sink)?.engine)
    }

    fn index(&self, sink: &str) -> Result<Index, SinkError> {
        match sink {
            "embedded" => self.open_embedded(),
            "opensearch" => self.opensearch.clone().map_err(|problem| unfit(sink, problem)),
            "kafka" => Err(unfit(sink, "it is a topic: it has no generations and answers no searches".to_owned())),
            _ => Err(unfit(sink, format!("there is no such sink; there can be {}", NAMES.join(", ")))),
        }
    }

    fn open_embedded(&self) -> Result<Index, SinkError> {
        // Nothing panics while it holds the lock half way through a change.
        let mut open = self.embedded_open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(index) = &*open {
            return Ok(index.clone());
        }
        let store = Arc::new(EmbeddedStore::open(&self.embedded, Arc::clone(&self.model))?);
        let index = Index { generations: Arc::<EmbeddedStore>::clone(&store), engine: store };
        Ok(open.insert(index).clone())
    }

    fn open_kafka(&self) -> Result<Arc<dyn Sink>, SinkError> {
        let options = self.kafka.clone().map_err(|problem| unfit("kafka", problem))?;
        match KafkaSink::new(options) {
            Ok(sink) => Ok(Arc::new(sink)),
            Err(error) => Err(SinkError::Unfit { sink: "kafka".to_owned(), differences: error.faults }),
        }
    }
}

fn opensearch(config: &Config, model: &Arc<SearchModel>, binding: &Binding) -> Result<Index, String> {
    let configured = config.sinks.opensearch.as_ref();
    let configured = configured.ok_or_else(|| "no address is configured: set opensearch.url".to_owned())?;
    let options = options::opensearch(configured, model, binding)?;
    let indexes = OpenSearchIndexes::new(options).map_err(|error| error.to_string())?;
    let indexes = Arc::new(indexes);
    Ok(Index { generations: Arc::<OpenSearchIndexes>::clone(&indexes), engine: indexes })
}

fn unfit(sink: &str, difference: String) -> SinkError {
    SinkError::Unfit { sink: sink.to_owned(), differences: vec![difference] }
}

impl SinkFactory for Sinks {
    fn open<'a>(&'a self, lane: &'a str) -> BoxFuture<'a, Result<Arc<dyn Sink>, SinkError>> {
        Box::pin(async move {
            let name = LaneName::parse(lane);
            match name.generation {
                Some(number) => self.generations(name.sink)?.sink(number),
                None if name.sink == "kafka" => self.open_kafka(),
                None => {
                    Err(unfit(lane, "this is the name of no lane: one of its generations has to be named".to_owned()))
                }
            }
        })
    }
}

/// Names only: the settings of a sink may be secret.
impl fmt::Debug for Sinks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sinks").field("kafka", &self.kafka).finish_non_exhaustive()
    }
}
