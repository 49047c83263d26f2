//! A provisioned database with its schema, the starting point of most tests.

use std::sync::{Arc, OnceLock};

use millstream_schema::apischema::{self, EffectiveSchema};
use millstream_schema::plan::{self, Mapping};
use millstream_schema::{ddl, model};

use crate::corpus::{self, Corpus};
use crate::database::TestDatabase;
use crate::skip::report_skip;

/// A set of ApiSchema files, loaded and compiled once per process.
#[derive(Debug)]
pub struct World {
    /// Name of the database template.
    name: &'static str,
    /// The files and documents.
    pub corpus: Corpus,
    /// The loaded files.
    pub schema: EffectiveSchema,
    /// Their compiled mapping.
    pub mapping: Arc<Mapping>,
    /// Their DDL.
    pub ddl: String,
}

impl World {
    /// Returns the small schema of this repository.
    pub fn fixtures() -> &'static Self {
        static WORLD: OnceLock<World> = OnceLock::new();
        WORLD.get_or_init(|| Self::load("fixtures", corpus::fixtures()))
    }

    /// Returns the published schema; `None` if the corpus is absent.
    pub fn corpus() -> Option<&'static Self> {
        static WORLD: OnceLock<Option<World>> = OnceLock::new();
        WORLD.get_or_init(|| corpus::find().map(|corpus| Self::load("corpus", corpus))).as_ref()
    }

    /// [`World::corpus`], for a test that does nothing without it: reports the skip.
    pub fn corpus_or_skip() -> Option<&'static Self> {
        let world = Self::corpus();
        if world.is_none() {
            report_skip(corpus::ABSENT);
        }
        world
    }

    fn load(name: &'static str, corpus: Corpus) -> Self {
        let schema = apischema::load(&corpus.schema_paths()).unwrap_or_else(|errors| panic!("{errors}"));
        let model = model::derive(&schema).unwrap_or_else(|errors| panic!("{errors}"));
        let mapping = Arc::new(plan::compile(&schema, &model));
        Self { name, corpus, ddl: ddl::postgres(&model), schema, mapping }
    }

    /// Creates a database provisioned for this schema, without documents.
    pub async fn database(&'static self) -> TestDatabase {
        TestDatabase::from_template(self.name, |database| async move {
            millstream_store::provision::apply(&database, &self.schema, &self.ddl).await.map(|_| ())
        })
        .await
    }
}
