//! A schedule in the making: a stage, one set of documents, and an observer that looks after every step.

use super::actor::Actor;
use super::bed::{Bed, wheel};
use super::observer::Observer;
use super::scene::{Act, Doc, References, Scene};
use super::stage::{Situation, Stage};
use millstream_testkit::Holder;
use millstream_writer::{WriteError, Written};
use std::collections::BTreeMap;
use tokio::task::JoinHandle;

/// What an actor is going to be answered.
pub(crate) type Deed = JoinHandle<Result<Written, WriteError>>;

/// One schedule on a database of its own.
pub(crate) struct Play {
    pub(crate) bed: Bed,
    pub(crate) stage: Stage,
    pub(crate) scene: Scene,
    pub(crate) observer: Observer,
    actors: BTreeMap<&'static str, Actor>,
}

impl Play {
    /// Sets the scene.
    pub(crate) async fn set(references: References) -> Self {
        let bed = wheel().await;
        let stage = Stage::build(&bed).await;
        let scene = Scene::set(&bed, references).await;
        let mut observer = Observer::of(scene.all());
        observer.look(&bed).await;
        Self { bed, stage, scene, observer, actors: BTreeMap::new() }
    }

    /// The actor with this name.
    pub(crate) async fn actor(&mut self, name: &'static str) -> Actor {
        if !self.actors.contains_key(name) {
            self.actors.insert(name, Actor::new(&self.bed, name).await);
        }
        self.actors[name].clone()
    }

    /// Closes an actor's gate, lets it begin, and waits until it stands somewhere.
    pub(crate) async fn start(&mut self, name: &'static str, act: Act) -> Deed {
        let (actor, scene) = (self.actor(name).await, self.scene.clone());
        self.start_deed(name, actor.act(scene, act)).await
    }

    /// The same, with a request of the test's own.
    pub(crate) async fn start_deed(
        &mut self,
        name: &'static str,
        deed: impl Future<Output = Result<Written, WriteError>> + Send + 'static,
    ) -> Deed {
        self.stage.close(name).await;
        let deed = self.stage.start(name, deed);
        self.look().await;
        deed
    }

    /// Opens an actor's gate and waits until nothing moves any more.
    pub(crate) async fn open(&mut self, name: &'static str) {
        self.stage.open(name).await;
        self.look().await;
    }

    /// Everybody stands as expected.
    pub(crate) async fn stands<const N: usize>(&mut self, expected: [(&str, Situation); N]) {
        self.stage.expect(expected).await;
        self.observer.look(&self.bed).await;
    }

    /// Waits until nothing moves any more, and reads everything.
    pub(crate) async fn look(&mut self) {
        self.stage.settle().await;
        self.observer.look(&self.bed).await;
    }

    /// The version that readers see.
    pub(crate) async fn version(&self, doc: Doc) -> i64 {
        self.scene.version(&self.bed, doc).await
    }

    /// Works off what is open, and checks everything that must hold at the end.
    pub(crate) async fn finish(mut self) {
        self.bed.work_off_cascades().await;
        self.observer.finish(&self.bed).await;
        self.bed.check().await;
    }
}

/// The answer of a deed that must succeed.
pub(crate) async fn written(deed: Deed) -> Written {
    deed.await.expect("the actor did not panic").unwrap_or_else(|error| panic!("refused: {error:?}"))
}

/// The answer of a deed that must not.
pub(crate) async fn refused(deed: Deed) -> WriteError {
    deed.await.expect("the actor did not panic").expect_err("it was to be refused")
}

/// Somebody who holds a document's row, as whoever writes it does.
pub(crate) async fn holder_of_row(bed: &Bed, scene: &Scene, doc: Doc) -> Holder {
    let row = format!(r#"SELECT FROM "dms"."Document" WHERE "DocumentUuid" = '{}'"#, scene.id(doc));
    Holder::hold(bed.test_database(), &format!("{row} FOR NO KEY UPDATE")).await
}
