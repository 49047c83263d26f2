//! The observer: reads every document of a schedule after every step, as clients do, and remembers all it has seen.

use super::bed::Bed;
use bytes::Bytes;
use jiff::Timestamp;
use millstream_store::compose::{Composed, compose_documents};
use millstream_store::error::ErrorKind;
use millstream_store::load::heads_by_uuid;
use millstream_store::table::cache::{self, CacheOutcome, CacheRow, SameVersion};
use std::collections::{HashMap, VecDeque};
use tokio_postgres::IsolationLevel;
use uuid::Uuid;

/// How many steps a body lies around before it is stored in the cache: a slow projector.
const CACHE_STEPS_LATE: usize = 2;

/// What was seen of a document under one version.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Sight {
    body: Bytes,
    last_modified: Timestamp,
}

/// What readers have been shown so far.
#[derive(Default)]
pub(crate) struct Observer {
    documents: Vec<(&'static str, Uuid)>,
    labels: HashMap<(Uuid, i64), Sight>,
    /// The newest sight of each document; `None` once it was gone.
    newest: HashMap<Uuid, Option<(i64, Timestamp)>>,
    /// Bodies on their way into the cache, oldest first.
    composed: VecDeque<Vec<Composed>>,
}

impl Observer {
    /// Watches these documents.
    pub(crate) fn of(documents: impl IntoIterator<Item = (&'static str, Uuid)>) -> Self {
        Self { documents: documents.into_iter().collect(), ..Self::default() }
    }

    /// Watches one more.
    pub(crate) fn watch(&mut self, endpoint: &'static str, id: Uuid) {
        self.documents.push((endpoint, id));
    }

    /// Reads everything once.
    ///
    /// # Panics
    /// When a version or a time went back, a label has another body than before, or a document came back.
    pub(crate) async fn look(&mut self, bed: &Bed) {
        for (endpoint, id) in self.documents.clone() {
            let Some(read) = bed.read(endpoint, id).await else {
                self.newest.insert(id, None);
                continue;
            };
            let newest = self.newest.get(&id).copied();
            assert_ne!(newest, Some(None), "{endpoint} {id} came back");
            if let Some(Some((version, last_modified))) = newest {
                assert!(
                    read.version >= version,
                    "{endpoint} {id} fell from {version} to {} (MONOTONIC) {:?}",
                    read.version,
                    compose(bed, vec![id]).await
                );
                let now = read.last_modified;
                assert!(now >= last_modified, "{endpoint} {id}: last modified went from {last_modified} back to {now}");
            }
            self.newest.insert(id, Some((read.version, read.last_modified)));
            let sight = Sight { body: read.body, last_modified: read.last_modified };
            let first = self.labels.entry((id, read.version)).or_insert_with(|| sight.clone());
            assert_eq!(first, &sight, "{endpoint} {id} at {} has two bodies", read.version);
        }
        self.project(bed).await;
    }

    /// Does what projectors do, badly: composes everything now, stores it steps later, overtaken or not.
    async fn project(&mut self, bed: &Bed) {
        self.composed.push_back(compose(bed, self.documents.iter().map(|(_, id)| *id).collect()).await);
        if self.composed.len() > CACHE_STEPS_LATE
            && let Some(late) = self.composed.pop_front()
            && store(bed, &late).await.is_none()
        {
            self.composed.push_front(late);
        }
    }

    /// Reads everything once more and stores all bodies that are still on their way.
    pub(crate) async fn finish(&mut self, bed: &Bed) {
        self.look(bed).await;
        for late in std::mem::take(&mut self.composed) {
            store(bed, &late).await.expect("nobody is deleting any more");
        }
        self.look(bed).await;
    }
}

/// Bodies of documents as one snapshot shows them, under the versions that they have in it.
pub(crate) async fn compose(bed: &Bed, ids: Vec<Uuid>) -> Vec<Composed> {
    let mut client = bed.db().get().await.expect("a connection");
    let snapshot = client.build_transaction().isolation_level(IsolationLevel::RepeatableRead).read_only(true);
    let snapshot = snapshot.start().await.expect("a snapshot");
    let heads = heads_by_uuid(&snapshot, &ids).await.expect("heads");
    let composed = compose_documents(&snapshot, &bed.mapping, &bed.caches, heads).await.expect("composed");
    snapshot.commit().await.expect("read");
    composed
}

/// Stores bodies in the cache. `None`: one of the documents is being deleted, and storing would wait for that.
///
/// # Panics
/// When the cache holds another body under the same label.
pub(crate) async fn store(bed: &Bed, composed: &[Composed]) -> Option<Vec<CacheOutcome>> {
    let body = |composed: &Composed| composed.body.clone().unwrap_or_else(|error| panic!("{error:?}"));
    let bodies: Vec<Vec<u8>> = composed.iter().map(body).collect();
    let rows: Vec<CacheRow<'_>> =
        composed.iter().zip(&bodies).map(|(composed, body)| CacheRow { head: &composed.head, body }).collect();
    let mut client = bed.db().get().await.expect("a connection");
    let transaction = client.transaction().await.expect("a transaction");
    transaction.batch_execute("SET LOCAL lock_timeout = '50ms'").await.expect("set");
    let outcomes = match cache::upsert(&transaction, &rows, SameVersion::Keep).await {
        Err(error) if *error.kind() == ErrorKind::LockTimeout => return None,
        outcomes => outcomes.expect("the cache can be written"),
    };
    transaction.commit().await.expect("the cache can be written");
    assert!(!outcomes.contains(&CacheOutcome::Differs), "two bodies under one label: {outcomes:?} of {composed:?}");
    Some(outcomes)
}
