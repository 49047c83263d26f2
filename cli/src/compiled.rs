//! From ApiSchema files to everything that the running system needs, with the time that each step took.

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

/// A loaded and compiled set of ApiSchema files.
#[derive(Debug)]
pub struct Compiled {
    /// The files, checked and fingerprinted.
    pub schema: EffectiveSchema,
    /// The tables that follow from them.
    pub model: Model,
    /// The plans.
    pub mapping: Arc<Mapping>,
    /// How long reading and checking the files took.
    pub load: Duration,
    /// How long deriving the model took.
    pub derive: Duration,
    /// How long compiling the plans took.
    pub compile: Duration,
}

impl Compiled {
    /// Loads, derives, compiles.
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

    /// DDL of the resource tables, for PostgreSQL.
    pub fn ddl(&self) -> String {
        ddl::postgres(&self.model)
    }
}
