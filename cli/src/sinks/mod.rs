//! The configured sinks, and how each is opened.
//!
//! Operators name a sink (`kafka`); the durable queue names lanes. A sink with generations has a lane for each of them
//! (`opensearch-g2`); any other sink has one lane of its own name.

mod lane;
mod options;

pub use crate::sink_kind::{NAMES, SinkKind, UnknownSink};
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
use options::SinkConfigError;
use parking_lot::Mutex;
use std::{fmt, sync::Arc};

/// All configured sinks.
pub struct Sinks {
    /// The fields of all types, for searches.
    pub model: Arc<SearchModel>,
    kafka: Result<KafkaOptions, SinkConfigError>,
    opensearch: Result<Index, SinkConfigError>,
    embedded: EmbeddedOptions,
    /// Opened on first use: its folder has one owner.
    embedded_open: Mutex<Option<Index>>,
}

/// A sink with generations that answers searches.
#[derive(Clone)]
struct Index {
    generations: Arc<dyn Generations>,
    engine: Arc<dyn SearchEngine>,
}

impl Sinks {
    /// Prepares the configured sinks as copies of this database, without connecting to any.
    ///
    /// # Errors
    /// When the database has no identity.
    pub async fn of(database: &Database, config: &Config, compiled: &Compiled) -> Result<Self, Failure> {
        Ok(Self::new(config, compiled, &binding(database).await?))
    }

    fn new(config: &Config, compiled: &Compiled, binding: &Binding) -> Self {
        let model = Arc::new(SearchModel::of(&compiled.mapping));
        let kafka = config.sinks.kafka.as_ref();
        let kafka = kafka.map(|kafka| options::kafka(kafka, compiled, binding));
        let kafka =
            kafka.ok_or(SinkConfigError::NotConfigured("no brokers are configured: set kafka.bootstrap_servers"));
        let opensearch = opensearch(config, &model, binding);
        let embedded = options::embedded(&config.sinks.embedded, binding);
        Self { model, kafka, opensearch, embedded, embedded_open: Mutex::default() }
    }

    /// Returns the lane for a sink that is added: for a sink with generations that of the live one.
    ///
    /// # Errors
    /// When the sink is unknown, or its generations cannot be read.
    pub async fn lane_of_new(&self, sink: &str) -> Result<String, SinkError> {
        if sink == SinkKind::Kafka.name() {
            return Ok(sink.to_owned());
        }
        let generation = self.generations(sink)?.live().await?;
        Ok(LaneName { sink, generation: Some(generation) }.to_string())
    }

    /// Returns the generations of a sink.
    ///
    /// # Errors
    /// When the sink is unknown or not configured, or has no generations.
    pub fn generations(&self, sink: &str) -> Result<Arc<dyn Generations>, SinkError> {
        Ok(self.index(sink)?.generations)
    }

    /// Returns the search engine of a sink.
    ///
    /// # Errors
    /// When the sink is unknown or not configured, or does not answer searches.
    pub fn engine(&self, sink: &str) -> Result<Arc<dyn SearchEngine>, SinkError> {
        Ok(self.index(sink)?.engine)
    }

    fn index(&self, sink: &str) -> Result<Index, SinkError> {
        match sink.parse() {
            Ok(SinkKind::Embedded) => self.open_embedded(),
            Ok(SinkKind::OpenSearch) => self.opensearch.clone().map_err(|error| incompatible(sink, error.to_string())),
            Ok(SinkKind::Kafka) => {
                Err(incompatible(sink, "it is a topic: it has no generations and answers no searches".to_owned()))
            }
            Err(unknown) => Err(incompatible(sink, unknown.to_string())),
        }
    }

    fn open_embedded(&self) -> Result<Index, SinkError> {
        let mut open = self.embedded_open.lock();
        if let Some(index) = &*open {
            return Ok(index.clone());
        }
        let store = Arc::new(EmbeddedStore::open(&self.embedded, Arc::clone(&self.model))?);
        let index = Index { generations: Arc::<EmbeddedStore>::clone(&store), engine: store };
        Ok(open.insert(index).clone())
    }

    fn open_kafka(&self) -> Result<Arc<dyn Sink>, SinkError> {
        let name = SinkKind::Kafka.name();
        let options = self.kafka.clone().map_err(|error| incompatible(name, error.to_string()))?;
        match KafkaSink::new(options) {
            Ok(sink) => Ok(Arc::new(sink)),
            Err(error) => Err(SinkError::Incompatible { sink: name.to_owned(), differences: error.faults }),
        }
    }
}

fn opensearch(config: &Config, model: &Arc<SearchModel>, binding: &Binding) -> Result<Index, SinkConfigError> {
    let configured = config.sinks.opensearch.as_ref();
    let configured =
        configured.ok_or(SinkConfigError::NotConfigured("no address is configured: set opensearch.url"))?;
    let options = options::opensearch(configured, model, binding)?;
    let indexes = OpenSearchIndexes::new(options).map_err(|error| SinkConfigError::client(&error))?;
    let indexes = Arc::new(indexes);
    Ok(Index { generations: Arc::<OpenSearchIndexes>::clone(&indexes), engine: indexes })
}

fn incompatible(sink: &str, difference: String) -> SinkError {
    SinkError::Incompatible { sink: sink.to_owned(), differences: vec![difference] }
}

impl SinkFactory for Sinks {
    fn open<'a>(&'a self, lane: &'a str) -> BoxFuture<'a, Result<Arc<dyn Sink>, SinkError>> {
        Box::pin(async move {
            let name = LaneName::parse(lane);
            match name.generation {
                Some(number) => self.generations(name.sink)?.sink(number),
                None if name.sink == SinkKind::Kafka.name() => self.open_kafka(),
                None => {
                    Err(incompatible(lane, "not the name of a lane: name one of the sink's generations".to_owned()))
                }
            }
        })
    }
}

/// Prints names only: the settings of a sink may be secret.
impl fmt::Debug for Sinks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sinks").field("kafka", &self.kafka).finish_non_exhaustive()
    }
}
