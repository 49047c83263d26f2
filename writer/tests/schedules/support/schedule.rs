//! A schedule: a scheduler, one set of documents, and an observer that reads after every step.

use super::actor::Actor;
use super::documents::{Act, Doc, Documents, References};
use super::fixture::{Fixture, wheel};
use super::observer::Observer;
use super::scheduler::{Scheduler, Situation};
use millstream_testkit::Holder;
use millstream_writer::{WriteError, Written};
use std::collections::BTreeMap;
use tokio::task::JoinHandle;

/// The pending result of a write.
pub(crate) type PendingWrite = JoinHandle<Result<Written, WriteError>>;

/// One schedule on a database of its own.
pub(crate) struct Schedule {
    pub(crate) fixture: Fixture,
    pub(crate) scheduler: Scheduler,
    pub(crate) documents: Documents,
    pub(crate) observer: Observer,
    actors: BTreeMap<&'static str, Actor>,
}

impl Schedule {
    /// Creates a database with documents.
    pub(crate) async fn new(references: References) -> Self {
        let fixture = wheel().await;
        let scheduler = Scheduler::install(&fixture).await;
        let documents = Documents::create(&fixture, references).await;
        let mut observer = Observer::of(documents.all());
        observer.observe(&fixture).await;
        Self { fixture, scheduler, documents, observer, actors: BTreeMap::new() }
    }

    /// Returns the actor with this name.
    pub(crate) async fn actor(&mut self, name: &'static str) -> Actor {
        if !self.actors.contains_key(name) {
            self.actors.insert(name, Actor::new(&self.fixture, name).await);
        }
        self.actors[name].clone()
    }

    /// Closes the gate of an actor, starts the act, and waits until no actor moves.
    pub(crate) async fn start(&mut self, name: &'static str, act: Act) -> PendingWrite {
        let (actor, documents) = (self.actor(name).await, self.documents.clone());
        self.start_request(name, actor.act(documents, act)).await
    }

    /// The same with a custom request.
    pub(crate) async fn start_request(
        &mut self,
        name: &'static str,
        request: impl Future<Output = Result<Written, WriteError>> + Send + 'static,
    ) -> PendingWrite {
        self.scheduler.close(name).await;
        let request = self.scheduler.start(name, request);
        self.observe().await;
        request
    }

    /// Opens the gate of an actor and waits until no actor moves.
    pub(crate) async fn open(&mut self, name: &'static str) {
        self.scheduler.open(name).await;
        self.observe().await;
    }

    /// Checks where every actor is.
    pub(crate) async fn expect<const N: usize>(&mut self, expected: [(&str, Situation); N]) {
        self.scheduler.expect(expected).await;
        self.observer.observe(&self.fixture).await;
    }

    /// Waits until no actor moves, and observes.
    pub(crate) async fn observe(&mut self) {
        self.scheduler.settle().await;
        self.observer.observe(&self.fixture).await;
    }

    /// Returns the version that readers see.
    pub(crate) async fn version(&self, doc: Doc) -> i64 {
        self.documents.version(&self.fixture, doc).await
    }

    /// Works off the open cascades and checks the final state.
    pub(crate) async fn finish(mut self) {
        self.fixture.work_off_cascades().await;
        self.observer.finish(&self.fixture).await;
        self.fixture.check().await;
    }
}

/// Returns the result of a write that must succeed.
pub(crate) async fn written(request: PendingWrite) -> Written {
    request.await.expect("the actor did not panic").unwrap_or_else(|error| panic!("the write was refused: {error:?}"))
}

/// Returns the error of a write that must be refused.
pub(crate) async fn refused(request: PendingWrite) -> WriteError {
    request.await.expect("the actor did not panic").expect_err("the write must be refused")
}

/// Holds the row lock of a document in the mode of a writer.
pub(crate) async fn holder_of_row(fixture: &Fixture, documents: &Documents, doc: Doc) -> Holder {
    let row = format!(r#"SELECT FROM "dms"."Document" WHERE "DocumentUuid" = '{}'"#, documents.id(doc));
    Holder::hold(fixture.test_database(), &format!("{row} FOR NO KEY UPDATE")).await
}
