//! The sinks of a running process: lanes by name, and sinks that the configuration wants.

use super::state::RunningProcess;
use crate::{failure::Failure, sinks::LaneName};
use millstream_pipeline::{queue::WorkQueue, sink::Sink};
use millstream_projector::{
    replay::Spec,
    sink_manager::{SinkManagerError, backfill},
};
use std::sync::Arc;

/// A queue with pending entries: the cache queue, or a lane with its sink.
pub(crate) struct EntryQueue {
    /// `cache`, or the name of the lane.
    pub(crate) name: String,
    pub(crate) queue: Arc<dyn WorkQueue>,
    /// The sink of a lane, if it could be opened.
    pub(crate) sink: Option<Arc<dyn Sink>>,
}

/// Converts an error of the sink manager. A wrong name is a usage error.
pub(crate) fn sink_failure(error: SinkManagerError) -> Failure {
    match error {
        SinkManagerError::Unknown { .. } | SinkManagerError::Exists(_) => Failure::usage(error),
        error => Failure::failed(error),
    }
}

fn matching(lanes: &[String], name: &str) -> Vec<String> {
    lanes.iter().filter(|lane| LaneName::parse(lane).matches(name)).cloned().collect()
}

impl RunningProcess {
    /// Returns the names of all lanes.
    pub(crate) async fn lane_names(&self) -> Result<Vec<String>, Failure> {
        self.sink_manager.names().await.map_err(sink_failure)
    }

    /// Returns the lanes that a name means: the lane itself, or every lane of the sink. An unknown name is an error.
    pub(crate) async fn lanes_of(&self, name: &str) -> Result<Vec<String>, Failure> {
        let names = self.lane_names().await?;
        let lanes = matching(&names, name);
        if lanes.is_empty() {
            return Err(sink_failure(SinkManagerError::Unknown { name: name.to_owned(), names }));
        }
        Ok(lanes)
    }

    /// Returns the queue of one lane with its sink.
    pub(crate) async fn lane(&self, name: String) -> Result<EntryQueue, Failure> {
        let (queue, sink) = self.sink_manager.get(&name).await.map_err(sink_failure)?;
        Ok(EntryQueue { name, queue, sink })
    }

    /// Adds a sink and starts its backfill; returns its lane.
    pub(crate) async fn add_sink(&self, sink: &str, fill: Option<Spec>) -> Result<String, Failure> {
        if !matching(&self.lane_names().await?, sink).is_empty() {
            return Err(sink_failure(SinkManagerError::Exists(sink.to_owned())));
        }
        let lane = self.sinks.lane_of_new(sink).await.map_err(Failure::failed)?;
        self.sink_manager.add(&lane, fill).await.map_err(sink_failure)?;
        Ok(lane)
    }

    /// Returns the name of a wanted sink that has no lane yet, if there is one.
    pub(crate) async fn missing_sink(&self) -> Result<Option<&'static str>, Failure> {
        let names = self.lane_names().await?;
        let mut wanted = self.wanted.iter().map(|sink| sink.name());
        Ok(wanted.find(|sink| matching(&names, sink).is_empty()))
    }

    /// Adds and fills every wanted sink that has no lane yet, and completes interrupted backfills. Returns how many of
    /// them failed and have to be tried again.
    pub(crate) async fn add_wanted_sinks(&self) -> usize {
        let mut missing = 0;
        for sink in &self.wanted {
            if self.lanes_of(sink.name()).await.is_ok() {
                continue;
            }
            if let Err(error) = self.add_sink(sink.name(), Some(backfill(None))).await {
                tracing::warn!(%sink, %error, "failed to add a configured sink; retrying");
                missing += 1;
            }
        }
        missing + usize::from(!self.fill_interrupted().await)
    }

    /// Restarts the backfill of lanes of this process whose addition was interrupted. Returns whether none is left.
    async fn fill_interrupted(&self) -> bool {
        for lane in self.sink_manager.names_seen() {
            if self.sink_manager.serves(&lane).await
                && let Err(error) = self.sink_manager.fill_if_interrupted(&lane).await
            {
                tracing::warn!(lane, error = %sink_failure(error), "failed to check the backfill of a lane; retrying");
                return false;
            }
        }
        true
    }
}
