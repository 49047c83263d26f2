//! The copy that searches are answered from, as the API asks it: the engine of a sink that is delivered to, and how far
//! that sink has come.

use super::board::Board;
use crate::{failure::Failure, sinks::LaneName};
use futures::future::BoxFuture;
use millstream_api::{CopyWait, ReadCopy, WaitError, Waited};
use millstream_projector::newest_version;
use millstream_search::{SearchEngine, SearchError, SearchPage, SearchQuery};
use std::{sync::Arc, time::Duration};

/// Sinks that answer searches, those that `auto` takes first.
const ENGINES: [&str; 2] = [EMBEDDED, "opensearch"];
const EMBEDDED: &str = "embedded";

/// The engine of whichever sink answers searches now: sinks come and go while the process runs.
#[derive(Debug, Clone)]
pub(super) struct Searching {
    board: Board,
    /// The sink that the configuration names.
    configured: Option<String>,
    /// This process delivers to all sinks, the embedded index among them.
    has_embedded: bool,
}

impl Searching {
    pub(super) fn new(board: Board, configured: Option<String>, has_embedded: bool) -> Self {
        Self { board, configured, has_embedded }
    }

    /// The sink that answers, if it is delivered to.
    ///
    /// A search does not ask the queue which sinks there are, or it would have no answer while the queue's brokers are
    /// away; only before it says that there is none.
    async fn sink(&self) -> Result<&str, SearchError> {
        let seen = self.board.with(async |about| Ok(about.fleet.names_seen())).await.flatten().map_err(unavailable)?;
        if let Some(sink) = self.among(&seen) {
            return Ok(sink);
        }
        let names = self.board.with(async |about| about.fleet.names().await.map_err(Failure::failed)).await;
        self.among(&names.flatten().map_err(unavailable)?).ok_or_else(|| {
            let sink = self.configured.as_deref().unwrap_or(if self.has_embedded { EMBEDDED } else { "opensearch" });
            SearchError::Unavailable {
                engine: "search".to_owned(),
                reason: format!("no sink that answers searches is delivered to: `millstream sink add {sink}` adds one"),
            }
        })
    }

    /// The one of these lanes' sinks that answers.
    fn among(&self, lanes: &[String]) -> Option<&str> {
        let delivered = |sink: &&str| lanes.iter().any(|lane| LaneName::parse(lane).sink == *sink);
        match &self.configured {
            Some(sink) => Some(sink.as_str()).filter(delivered),
            // The embedded index belongs to the process that delivers to it.
            None => ENGINES.into_iter().filter(|sink| self.has_embedded || *sink != EMBEDDED).find(delivered),
        }
    }

    async fn engine(&self) -> Result<Arc<dyn SearchEngine>, SearchError> {
        let sink = self.sink().await?;
        let engine = self.board.with(async |about| about.sinks.engine(sink).map_err(Failure::failed)).await;
        engine.flatten().map_err(unavailable)
    }

    async fn wait_until_there(&self) -> Result<(), Failure> {
        let sink = self.sink().await.map_err(Failure::failed)?;
        let caught_up = self.board.with(async |about| {
            // Only the live generation answers: one that is being built holds nobody up.
            let live = about.sinks.generations(sink).map_err(Failure::failed)?.live().await.map_err(Failure::failed)?;
            let lane = LaneName { sink, generation: Some(live) }.to_string();
            about.caught_up(Some(&lane)).await
        });
        caught_up.await??;
        let engine = self.engine().await.map_err(Failure::failed)?;
        engine.refresh().await.map_err(Failure::failed)
    }
}

fn unavailable(failure: Failure) -> SearchError {
    SearchError::Unavailable { engine: "search".to_owned(), reason: failure.to_string() }
}

impl SearchEngine for Searching {
    fn describe(&self) -> String {
        self.configured.clone().unwrap_or_else(|| "the sink that answers searches".to_owned())
    }

    fn search<'a>(&'a self, query: &'a SearchQuery) -> BoxFuture<'a, Result<SearchPage, SearchError>> {
        Box::pin(async move { self.engine().await?.search(query).await })
    }

    fn refresh(&self) -> BoxFuture<'_, Result<(), SearchError>> {
        Box::pin(async move { self.engine().await?.refresh().await })
    }
}

impl CopyWait for Searching {
    fn wait(&self, copy: ReadCopy, version: i64, time_max: Duration) -> BoxFuture<'_, Result<Waited, WaitError>> {
        let told = |failure: Failure| WaitError { reason: failure.to_string() };
        Box::pin(async move {
            let newest = self.board.with(async |about| newest_version(&about.database).await.map_err(Failure::failed));
            if version > newest.await.flatten().map_err(told)? {
                return Ok(Waited::NeverGiven);
            }
            if copy == ReadCopy::Source {
                return Ok(Waited::Reached);
            }
            match tokio::time::timeout(time_max, self.wait_until_there()).await {
                Ok(there) => there.map(|()| Waited::Reached).map_err(told),
                Err(_) => Ok(Waited::Behind),
            }
        })
    }
}
