//! The suite that every [`SearchEngine`] has to pass. A test calls [`run`] with a [`Fixture`] of its implementation.
//!
//! It runs on the small schema of this repository ([`model`]): fixed questions with written answers (`cases`), paging
//! while documents change (`paging`), and random questions over random documents, compared with [`MemoryEngine`]
//! (`random`). Every failure names the question; random ones print their seed.

mod cases;
mod documents;
mod memory;
mod paging;
mod random;

pub use memory::MemoryEngine;

use crate::engine::{SearchEngine, SearchPage};
use crate::model::{SearchModel, SearchResource};
use crate::query::{QueryOptions, SearchQuery};
use bytes::Bytes;
use futures::future::BoxFuture;
use millstream_schema::plan::Mapping;
use millstream_schema::{apischema, plan};
use std::path::Path;
use std::sync::Arc;
use uuid::Uuid;

/// Pages as the suite asks for them.
const OPTIONS: QueryOptions = QueryOptions { limit_default: 100, limit_max: 1_000 };

/// Makes engines and delivers documents to them.
pub trait Fixture {
    /// An engine without documents, for the types of [`model`].
    fn open(&mut self) -> BoxFuture<'_, Arc<dyn SearchEngine>>;

    /// Delivers these, each a newer version than before, to the engine that was opened last, and returns when all are done.
    /// The suite asks for [`SearchEngine::refresh`] itself.
    fn put<'a>(&'a mut self, documents: &'a [Document]) -> BoxFuture<'a, ()>;
}

/// A document at a version.
#[derive(Debug, Clone)]
pub struct Document {
    /// Its id.
    pub uuid: Uuid,
    /// Its type.
    pub resource_key: i16,
    /// Its version.
    pub version: i64,
    /// The bytes of a GET; `None`: deleted.
    pub body: Option<Bytes>,
}

/// The compiled mapping of the small schema.
///
/// # Panics
/// If the schema of this repository cannot be loaded.
pub fn mapping() -> Mapping {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../schema/fixtures");
    let files = ["meadow", "brook"].map(|name| root.join(format!("{name}.ApiSchema.json")));
    let schema = apischema::load(&files).unwrap_or_else(|errors| panic!("{errors}"));
    let model = millstream_schema::model::derive(&schema).unwrap_or_else(|errors| panic!("{errors}"));
    plan::compile(&schema, &model)
}

/// The fields of the small schema.
pub fn model() -> Arc<SearchModel> {
    Arc::new(SearchModel::of(&mapping()))
}

/// Runs the whole suite.
///
/// # Panics
/// When the engine breaks a promise; the message says which.
pub async fn run(fixture: &mut dyn Fixture) {
    let model = model();
    cases::run(&mut Bench::open(fixture, &model).await).await;
    paging::run(&mut Bench::open(fixture, &model).await).await;
    for seed in random::SEEDS {
        random::run(&mut Bench::open(fixture, &model).await, seed).await;
    }
}

struct Bench<'a> {
    fixture: &'a mut dyn Fixture,
    engine: Arc<dyn SearchEngine>,
    reference: MemoryEngine,
    model: Arc<SearchModel>,
}

impl<'a> Bench<'a> {
    async fn open(fixture: &'a mut dyn Fixture, model: &Arc<SearchModel>) -> Self {
        let engine = fixture.open().await;
        Self { fixture, engine, reference: MemoryEngine::new(Arc::clone(model)), model: Arc::clone(model) }
    }

    /// Delivers to the engine and the reference.
    async fn put(&mut self, documents: &[Document]) {
        self.fixture.put(documents).await;
        self.reference.put(documents);
        self.engine.refresh().await.expect("what was confirmed can be made visible");
    }

    fn resource(&self, endpoint: &str) -> Arc<SearchResource> {
        let found = self.model.iter().find(|resource| resource.endpoint == endpoint);
        Arc::clone(found.expect("a type of the small schema"))
    }

    fn query(&self, endpoint: &str, parameters: &[(String, String)]) -> SearchQuery {
        SearchQuery::parse(&self.resource(endpoint), parameters, &OPTIONS)
            .unwrap_or_else(|errors| panic!("{endpoint} {parameters:?}: {errors:?}"))
    }

    async fn search(&self, query: &SearchQuery) -> SearchPage {
        crate::engine::search(self.engine.as_ref(), query).await.unwrap_or_else(|error| panic!("{error}: {query:?}"))
    }
}

/// The id of a document of the suite.
fn uuid_of(number: u64) -> Uuid {
    Uuid::from_u128(0x5EA4_0000_0000_4000_8000_0000_0000_0000 | u128::from(number))
}

/// A document of the suite: the body with the members that the server adds.
fn document(resource: &SearchResource, number: u64, version: i64, members: &str) -> Document {
    let uuid = uuid_of(number);
    let day = 1 + number % 28;
    let members = members.trim().trim_start_matches('{');
    let comma = if members.starts_with('}') { "" } else { "," };
    let body = format!(
        r#"{{"id":"{uuid}","_etag":"{version}","_lastModifiedDate":"2031-01-{day:02}T00:00:00Z"{comma}{members}"#
    );
    Document { uuid, resource_key: resource.key, version, body: Some(Bytes::from(body)) }
}

fn pairs(parameters: &[(&str, &str)]) -> Vec<(String, String)> {
    parameters.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}
