//! Reading bodies without stopping other tasks.
//!
//! Parsing, validating and flattening a large body takes tens of milliseconds or more, without a point at which a task could
//! yield. Large bodies are therefore read on blocking threads, fewer at a time than there are cores.

use crate::body::{FlatDocument, IdRule, Validators, read};
use crate::error::WriteError;
use millstream_schema::plan::{Mapping, ResourceIx};
use std::num::NonZero;
use std::sync::Arc;
use std::thread::available_parallelism;
use tokio::sync::Semaphore;

/// Largest body that is read by the task of its request: about a millisecond.
const INLINE_MAX_BYTES: usize = 64 * 1024;

/// Reads bodies into rows with unresolved references.
#[derive(Debug)]
pub(crate) struct BodyReader {
    mapping: Arc<Mapping>,
    validators: Arc<Validators>,
    /// Permits for large bodies.
    large: Arc<Semaphore>,
}

impl BodyReader {
    /// A reader that leaves one core to other tasks.
    pub(crate) fn new(mapping: Arc<Mapping>, validators: Validators) -> Self {
        let cores = available_parallelism().map_or(1, NonZero::get);
        let large = Arc::new(Semaphore::new(cores.saturating_sub(1).max(1)));
        Self { mapping, validators: Arc::new(validators), large }
    }

    /// Reads a body. The error lists all problems.
    pub(crate) async fn read(
        &self,
        resource: ResourceIx,
        bytes: &[u8],
        id: IdRule,
    ) -> Result<FlatDocument, WriteError> {
        if bytes.len() <= INLINE_MAX_BYTES {
            return read(self.mapping.resource(resource), &self.validators, bytes, id);
        }
        let permit =
            Arc::clone(&self.large).acquire_owned().await.map_err(|error| WriteError::Internal(error.into()))?;
        let (mapping, validators, bytes) = (Arc::clone(&self.mapping), Arc::clone(&self.validators), bytes.to_vec());
        // The permit belongs to the work: a client that hangs up does not start another one beside it.
        let reading = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            read(mapping.resource(resource), &validators, &bytes, id)
        });
        match reading.await {
            Ok(flat) => flat,
            Err(error) => match error.try_into_panic() {
                Ok(payload) => std::panic::resume_unwind(payload),
                Err(cancelled) => Err(WriteError::Internal(cancelled.into())),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::{FutureExt, poll};
    use millstream_testkit::World;
    use std::pin::pin;

    fn reader() -> (BodyReader, ResourceIx) {
        let mapping = &World::fixtures().mapping;
        let validators = Validators::compile(mapping).expect("the schemas compile");
        let students = mapping.route("meadow", "students").expect("the type exists");
        (BodyReader::new(Arc::clone(mapping), validators), students)
    }

    fn body(bytes: usize) -> Vec<u8> {
        format!("{{\"studentUniqueId\":\"{}\"}}", " ".repeat(bytes)).into_bytes()
    }

    #[tokio::test]
    async fn a_large_body_lets_other_tasks_run_and_a_small_one_is_read_at_once() {
        let (reader, students) = reader();
        let small = body(100);
        assert!(reader.read(students, &small, IdRule::Absent).now_or_never().is_some());
        let large = body(4 << 20);
        let mut reading = pin!(reader.read(students, &large, IdRule::Absent));
        assert!(poll!(reading.as_mut()).is_pending(), "this thread does not read it");
        assert!(matches!(reading.await, Err(WriteError::Invalid { .. })));
    }

    #[tokio::test]
    async fn large_bodies_are_fewer_at_a_time_than_cores() {
        let (reader, students) = reader();
        let cores = available_parallelism().expect("a machine has cores").get();
        assert_eq!(reader.large.available_permits(), (cores - 1).max(1));
        let taken = Arc::clone(&reader.large).acquire_many_owned(reader.large.available_permits() as u32).await;
        let (small, large) = (body(100), body(1 << 20));
        let mut waiting = pin!(reader.read(students, &large, IdRule::Absent));
        assert!(poll!(waiting.as_mut()).is_pending());
        assert!(reader.read(students, &small, IdRule::Absent).now_or_never().is_some(), "a small one needs no permit");
        assert!(poll!(waiting.as_mut()).is_pending());
        drop(taken);
        assert!(waiting.await.is_err());
    }
}
