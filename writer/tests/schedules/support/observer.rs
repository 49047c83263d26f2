//! The observer: after every step of a schedule, reads every document as clients do and checks the sequence of results.

use super::fixture::Fixture;
use bytes::Bytes;
use jiff::Timestamp;
use millstream_store::compose::{Composed, compose_documents};
use millstream_store::error::ErrorKind;
use millstream_store::load::heads_by_uuid;
use millstream_store::table::cache::{self, CacheOutcome, CacheRow, SameVersion};
use std::collections::{HashMap, VecDeque};
use tokio_postgres::IsolationLevel;
use uuid::Uuid;

/// Number of steps between composing a body and storing it in the cache, as by a slow projector.
const CACHE_STEPS_LATE: usize = 2;

/// The observed contents of a document under one version.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Observation {
    body: Bytes,
    last_modified: Timestamp,
}

/// The observed documents, with all observations so far.
#[derive(Default)]
pub(crate) struct Observer {
    documents: Vec<(&'static str, Uuid)>,
    /// First observation of each version of each document.
    versions: HashMap<(Uuid, i64), Observation>,
    /// Version and time of the newest observation of each document; `None` after its deletion.
    newest: HashMap<Uuid, Option<(i64, Timestamp)>>,
    /// Composed bodies that are not stored in the cache yet, oldest first.
    composed: VecDeque<Vec<Composed>>,
}

impl Observer {
    /// Creates an observer of these documents.
    pub(crate) fn of(documents: impl IntoIterator<Item = (&'static str, Uuid)>) -> Self {
        Self { documents: documents.into_iter().collect(), ..Self::default() }
    }

    /// Adds a document.
    pub(crate) fn watch(&mut self, endpoint: &'static str, id: Uuid) {
        self.documents.push((endpoint, id));
    }

    /// Reads every document once.
    ///
    /// # Panics
    /// Panics if a version or a time decreased, a version has two bodies, or a deleted document reappeared.
    pub(crate) async fn observe(&mut self, fixture: &Fixture) {
        for (endpoint, id) in self.documents.clone() {
            let Some(read) = fixture.read(endpoint, id).await else {
                self.newest.insert(id, None);
                continue;
            };
            let newest = self.newest.get(&id).copied();
            assert_ne!(newest, Some(None), "{endpoint} {id} reappeared");
            if let Some(Some((version, last_modified))) = newest {
                assert!(
                    read.version >= version,
                    "{endpoint} {id} fell from {version} to {} (MONOTONIC) {:?}",
                    read.version,
                    compose(fixture, vec![id]).await
                );
                let now = read.last_modified;
                assert!(now >= last_modified, "{endpoint} {id}: last modified went from {last_modified} back to {now}");
            }
            self.newest.insert(id, Some((read.version, read.last_modified)));
            let observation = Observation { body: read.body, last_modified: read.last_modified };
            let first = self.versions.entry((id, read.version)).or_insert_with(|| observation.clone());
            assert_eq!(first, &observation, "{endpoint} {id} at {} has two bodies", read.version);
        }
        self.project(fixture).await;
    }

    /// Simulates a slow projector: composes all bodies now and stores them some steps later.
    async fn project(&mut self, fixture: &Fixture) {
        self.composed.push_back(compose(fixture, self.documents.iter().map(|(_, id)| *id).collect()).await);
        if self.composed.len() > CACHE_STEPS_LATE
            && let Some(late) = self.composed.pop_front()
            && store(fixture, &late).await.is_none()
        {
            self.composed.push_front(late);
        }
    }

    /// Observes once more, stores all remaining bodies, and observes again.
    pub(crate) async fn finish(&mut self, fixture: &Fixture) {
        self.observe(fixture).await;
        for late in std::mem::take(&mut self.composed) {
            store(fixture, &late).await.expect("no delete is running");
        }
        self.observe(fixture).await;
    }
}

/// Composes the bodies of documents in one snapshot, with their versions in it.
pub(crate) async fn compose(fixture: &Fixture, ids: Vec<Uuid>) -> Vec<Composed> {
    let mut client = fixture.db().get().await.expect("a connection");
    let snapshot = client.build_transaction().isolation_level(IsolationLevel::RepeatableRead).read_only(true);
    let snapshot = snapshot.start().await.expect("a snapshot");
    let heads = heads_by_uuid(&snapshot, &ids).await.expect("heads");
    let composed = compose_documents(&snapshot, &fixture.mapping, &fixture.caches, heads).await.expect("composed");
    snapshot.commit().await.expect("read");
    composed
}

/// Stores bodies in the cache. Returns `None` if one of the documents is being deleted: the statement would wait for
/// the delete.
///
/// # Panics
/// Panics if the cache holds a different body for the same version.
pub(crate) async fn store(fixture: &Fixture, composed: &[Composed]) -> Option<Vec<CacheOutcome>> {
    let body = |composed: &Composed| composed.body.clone().unwrap_or_else(|error| panic!("{error:?}"));
    let bodies: Vec<Vec<u8>> = composed.iter().map(body).collect();
    let rows: Vec<CacheRow<'_>> =
        composed.iter().zip(&bodies).map(|(composed, body)| CacheRow { head: &composed.head, body }).collect();
    let mut client = fixture.db().get().await.expect("a connection");
    let transaction = client.transaction().await.expect("a transaction");
    transaction.batch_execute("SET LOCAL lock_timeout = '50ms'").await.expect("set");
    let outcomes = match cache::upsert(&transaction, &rows, SameVersion::Keep).await {
        Err(error) if *error.kind() == ErrorKind::LockTimeout => return None,
        outcomes => outcomes.expect("the cache can be written"),
    };
    transaction.commit().await.expect("the cache can be written");
    assert!(!outcomes.contains(&CacheOutcome::Differs), "two bodies for one version: {outcomes:?} of {composed:?}");
    Some(outcomes)
}
