//! The generations of the embedded index: [`EmbeddedStore`].

use super::folder::{EmbeddedOptions, IndexFolder, blocking};
use super::sink::EmbeddedSink;
use futures::future::{BoxFuture, FutureExt};
use millstream_pipeline::sink::generations::{Generation as GenerationInfo, Generations};
use millstream_pipeline::sink::{Sink, SinkError};
use millstream_search::SearchModel;
use std::num::NonZero;
use std::sync::Arc;
use std::thread::available_parallelism;
use tokio::sync::Semaphore;

/// All generations of the embedded index of one process.
///
/// Cheap to clone. The folder stays locked until the last clone and the last sink created from one are dropped.
#[derive(Clone)]
pub struct EmbeddedStore {
    pub(super) folder: Arc<IndexFolder>,
    /// Permits for searches.
    pub(super) searches: Arc<Semaphore>,
}

impl EmbeddedStore {
    /// Opens and locks the folder. Blocks on disk reads.
    ///
    /// # Errors
    /// [`SinkError::Incompatible`] if another process has the folder open, it is the copy of another database, or it is damaged;
    /// [`SinkError::Unavailable`] if it cannot be read.
    pub fn open(options: &EmbeddedOptions, model: Arc<SearchModel>) -> Result<Self, SinkError> {
        let cores = available_parallelism().map_or(1, NonZero::get);
        Ok(Self { folder: Arc::new(IndexFolder::open(options, model)?), searches: Arc::new(Semaphore::new(cores)) })
    }

    async fn with_folder<T: Send + 'static>(
        &self,
        work: impl FnOnce(&IndexFolder) -> Result<T, SinkError> + Send + 'static,
    ) -> Result<T, SinkError> {
        let folder = Arc::clone(&self.folder);
        blocking(self.folder.describe(), move || work(&folder)).await
    }
}

impl Generations for EmbeddedStore {
    fn describe(&self) -> String {
        self.folder.describe()
    }

    fn list(&self) -> BoxFuture<'_, Result<Vec<GenerationInfo>, SinkError>> {
        self.with_folder(IndexFolder::list).boxed()
    }

    fn create(&self) -> BoxFuture<'_, Result<u32, SinkError>> {
        self.with_folder(IndexFolder::create).boxed()
    }

    fn sink(&self, number: u32) -> Result<Arc<dyn Sink>, SinkError> {
        Ok(Arc::new(EmbeddedSink::new(Arc::clone(&self.folder), number)))
    }

    fn swap(&self, number: u32) -> BoxFuture<'_, Result<(), SinkError>> {
        self.with_folder(move |folder| folder.swap(number)).boxed()
    }

    fn remove(&self, number: u32) -> BoxFuture<'_, Result<(), SinkError>> {
        self.with_folder(move |folder| folder.remove(number)).boxed()
    }

    fn live(&self) -> BoxFuture<'_, Result<u32, SinkError>> {
        self.with_folder(IndexFolder::live).boxed()
    }
}
