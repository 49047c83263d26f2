//! Loading and compilation of ApiSchema files.

use crate::failure::Failure;
use millstream_schema::{
    apischema::{self, EffectiveSchema},
    ddl,
    model::{self, Model},
    plan::{self, Mapping},
};
use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

/// A loaded and compiled set of ApiSchema files, with the duration of each step.
#[derive(Debug)]
pub struct Compiled {
    /// The checked files and their hash.
    pub schema: EffectiveSchema,
    /// The derived tables.
    pub model: Model,
    /// The compiled plans.
    pub mapping: Arc<Mapping>,
    /// Duration of reading and checking the files.
    pub load: Duration,
    /// Duration of deriving the model.
    pub derive: Duration,
    /// Duration of compiling the plans.
    pub compile: Duration,
}

impl Compiled {
    /// Loads the files, derives the model and compiles the plans.
    pub fn from_files(files: &[PathBuf]) -> Result<Self, Failure> {
        let started = Instant::now();
        let schema = apischema::load(files).map_err(Failure::usage)?;
        let loaded = Instant::now();
        let model = model::derive(&schema).map_err(Failure::usage)?;
        let derived = Instant::now();
        let mapping = Arc::new(plan::compile(&schema, &model));
        Ok(Self {
            schema,
            model,
            mapping,
            load: loaded - started,
            derive: derived - loaded,
            compile: derived.elapsed(),
        })
    }

    /// Returns the DDL of the resource tables for PostgreSQL.
    pub fn ddl(&self) -> String {
        ddl::postgres(&self.model)
    }
}
