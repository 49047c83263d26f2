//! The engine under test beside the reference, with helpers for the cases.

use super::documents::Document;
use super::memory::MemoryEngine;
use crate::engine::{SearchEngine, SearchPage, search};
use crate::model::{SearchModel, SearchResource};
use crate::query::{QueryOptions, SearchQuery};
use futures::future::BoxFuture;
use millstream_schema::plan::Mapping;
use millstream_schema::{apischema, model as relational, plan};
use std::path::Path;
use std::sync::Arc;

/// Page limits of the suite.
const OPTIONS: QueryOptions = QueryOptions { limit_default: 100, limit_max: 1_000 };

/// Creates engines and delivers documents to them.
pub trait Fixture {
    /// Returns an engine without documents, for the types of [`model`].
    fn open(&mut self) -> BoxFuture<'_, Arc<dyn SearchEngine>>;

    /// Delivers documents, each with a newer version than before, to the last opened engine, and returns when all are
    /// confirmed. The suite calls [`SearchEngine::refresh`] itself.
    fn put<'a>(&'a mut self, documents: &'a [Document]) -> BoxFuture<'a, ()>;
}

/// Returns the compiled mapping of the small schema.
///
/// # Panics
/// If the schema of this repository cannot be loaded.
pub fn mapping() -> Mapping {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../schema/fixtures");
    let files = ["meadow", "brook"].map(|name| root.join(format!("{name}.ApiSchema.json")));
    let schema = apischema::load(&files).unwrap_or_else(|errors| panic!("{errors}"));
    let model = relational::derive(&schema).unwrap_or_else(|errors| panic!("{errors}"));
    plan::compile(&schema, &model)
}

/// Returns the search model of the small schema.
pub fn model() -> Arc<SearchModel> {
    Arc::new(SearchModel::of(&mapping()))
}

pub(super) struct Bench<'a> {
    pub(super) fixture: &'a mut dyn Fixture,
    pub(super) engine: Arc<dyn SearchEngine>,
    pub(super) reference: MemoryEngine,
    pub(super) model: Arc<SearchModel>,
}

impl<'a> Bench<'a> {
    pub(super) async fn open(fixture: &'a mut dyn Fixture, model: &Arc<SearchModel>) -> Self {
        let engine = fixture.open().await;
        Self { fixture, engine, reference: MemoryEngine::new(Arc::clone(model)), model: Arc::clone(model) }
    }

    /// Delivers documents to the engine and to the reference.
    pub(super) async fn put(&mut self, documents: &[Document]) {
        self.fixture.put(documents).await;
        self.reference.put(documents);
        self.engine.refresh().await.expect("refreshed");
    }

    pub(super) fn resource(&self, endpoint: &str) -> Arc<SearchResource> {
        let resource = self.model.iter().find(|resource| resource.endpoint == endpoint);
        Arc::clone(resource.expect("a type of the small schema"))
    }

    pub(super) fn query(&self, endpoint: &str, parameters: &[(String, String)]) -> SearchQuery {
        SearchQuery::parse(&self.resource(endpoint), parameters, &OPTIONS)
            .unwrap_or_else(|errors| panic!("{endpoint} {parameters:?}: {errors:?}"))
    }

    pub(super) async fn search(&self, query: &SearchQuery) -> SearchPage {
        search(self.engine.as_ref(), query).await.unwrap_or_else(|error| panic!("{error}: {query:?}"))
    }
}

pub(super) fn pairs(parameters: &[(&str, &str)]) -> Vec<(String, String)> {
    parameters.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}
