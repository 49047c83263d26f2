//! Searches for the API: the engine of a sink that is delivered to, and waits for that sink.

use crate::{failure::Failure, process::state::ProcessState, sink_kind::SinkKind, sinks::LaneName};
use futures::future::BoxFuture;
use millstream_api::{CopyWait, ReadCopy, WaitError, Waited};
use millstream_projector::newest_version;
use millstream_search::{SearchEngine, SearchError, SearchPage, SearchQuery};
use std::{sync::Arc, time::Duration};

/// The sinks that answer searches, in the order in which `auto` chooses.
const ENGINES: [SinkKind; 2] = [SinkKind::Embedded, SinkKind::OpenSearch];

/// The engine of the sink that answers searches at the moment: sinks are added and removed while the process runs.
#[derive(Debug, Clone)]
pub(super) struct SinkSearch {
    state: ProcessState,
    /// The configured sink; `None` for `auto`.
    configured: Option<SinkKind>,
    /// Whether this process delivers to all sinks, the embedded index among them.
    has_embedded: bool,
}

impl SinkSearch {
    pub(super) fn new(state: ProcessState, configured: Option<SinkKind>, has_embedded: bool) -> Self {
        Self { state, configured, has_embedded }
    }

    /// Returns the sink that answers, if it is delivered to.
    ///
    /// Uses the lanes seen last, so that searches keep working while the brokers of the queue are away. The queue is read
    /// only before the reply that no sink answers searches.
    async fn sink(&self) -> Result<SinkKind, SearchError> {
        let seen = self.state.with(async |process| process.sink_manager.names_seen()).await.map_err(unavailable)?;
        if let Some(sink) = self.among(&seen) {
            return Ok(sink);
        }
        let names = self.state.with(async |process| process.lane_names().await).await;
        self.among(&names.flatten().map_err(unavailable)?).ok_or_else(|| {
            let default = if self.has_embedded { SinkKind::Embedded } else { SinkKind::OpenSearch };
            let sink = self.configured.unwrap_or(default);
            SearchError::Unavailable {
                engine: "search".to_owned(),
                reason: format!("no sink that answers searches is delivered to: `millstream sink add {sink}` adds one"),
            }
        })
    }

    /// Returns the sink of these lanes that answers.
    fn among(&self, lanes: &[String]) -> Option<SinkKind> {
        let delivered = |sink: &SinkKind| lanes.iter().any(|lane| LaneName::parse(lane).sink == sink.name());
        match self.configured {
            Some(sink) => Some(sink).filter(delivered),
            // The embedded index belongs to the process that delivers to it.
            None => ENGINES.into_iter().filter(|sink| self.has_embedded || *sink != SinkKind::Embedded).find(delivered),
        }
    }

    async fn engine(&self) -> Result<Arc<dyn SearchEngine>, SearchError> {
        let sink = self.sink().await?;
        let engine = self.state.with(async |process| process.sinks.engine(sink.name()).map_err(Failure::failed)).await;
        engine.flatten().map_err(unavailable)
    }

    async fn wait_until_delivered(&self) -> Result<(), Failure> {
        let sink = self.sink().await.map_err(Failure::failed)?.name();
        let caught_up = self.state.with(async |process| {
            // Only the live generation answers: one that is being built delays no search.
            let live =
                process.sinks.generations(sink).map_err(Failure::failed)?.live().await.map_err(Failure::failed)?;
            let lane = LaneName { sink, generation: Some(live) }.to_string();
            process.caught_up(Some(&lane)).await
        });
        caught_up.await??;
        let engine = self.engine().await.map_err(Failure::failed)?;
        engine.refresh().await.map_err(Failure::failed)
    }
}

fn unavailable(failure: Failure) -> SearchError {
    SearchError::Unavailable { engine: "search".to_owned(), reason: failure.to_string() }
}

impl SearchEngine for SinkSearch {
    fn describe(&self) -> String {
        self.configured.map_or_else(|| "the sink that answers searches".to_owned(), |sink| sink.to_string())
    }

    fn search<'a>(&'a self, query: &'a SearchQuery) -> BoxFuture<'a, Result<SearchPage, SearchError>> {
        Box::pin(async move { self.engine().await?.search(query).await })
    }

    fn refresh(&self) -> BoxFuture<'_, Result<(), SearchError>> {
        Box::pin(async move { self.engine().await?.refresh().await })
    }
}

impl CopyWait for SinkSearch {
    fn wait(&self, copy: ReadCopy, version: i64, time_max: Duration) -> BoxFuture<'_, Result<Waited, WaitError>> {
        let failed = |failure: Failure| WaitError { reason: failure.to_string() };
        Box::pin(async move {
            let newest =
                self.state.with(async |process| newest_version(&process.pools.reads).await.map_err(Failure::failed));
            if version > newest.await.flatten().map_err(failed)? {
                return Ok(Waited::NeverGiven);
            }
            if copy == ReadCopy::Source {
                return Ok(Waited::Reached);
            }
            match tokio::time::timeout(time_max, self.wait_until_delivered()).await {
                Ok(delivered) => delivered.map(|()| Waited::Reached).map_err(failed),
                Err(_) => Ok(Waited::Behind),
            }
        })
    }
}
