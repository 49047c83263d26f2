//! Shared by the tests of reading: a database with the tables of a schema, and documents in it.
#![allow(dead_code, unused_imports, reason = "each test binary uses a part")]

mod planter;
mod round_trip;
mod world;

pub(crate) use planter::{Planted, Planter};
pub(crate) use round_trip::assert_same_document;
pub(crate) use world::World;

use millstream_schema::plan::{Mapping, ResourceIx};
use millstream_schema::{apischema, ddl, model, plan};
use millstream_store::connect::Database;
use millstream_store::error::StoreError;
use millstream_testkit::TestDatabase;
use std::path::PathBuf;
use std::sync::Arc;

/// A schema, compiled, and its tables as SQL.
pub(crate) struct Compiled {
    pub(crate) mapping: Arc<Mapping>,
    pub(crate) ddl: String,
}

/// Compiles ApiSchema files.
pub(crate) fn compile(files: &[PathBuf]) -> Compiled {
    let schema = apischema::load(files).unwrap_or_else(|errors| panic!("{errors}"));
    let model = model::derive(&schema).unwrap_or_else(|errors| panic!("{errors}"));
    Compiled { mapping: Arc::new(plan::compile(&schema, &model)), ddl: ddl::postgres(&model) }
}

/// A database with the shared tables and those of `compiled`, empty but for the resource keys.
pub(crate) async fn provisioned(name: &str, compiled: &Compiled) -> TestDatabase {
    TestDatabase::from_template(name, |database| provision(database, compiled)).await
}

async fn provision(database: Database, compiled: &Compiled) -> Result<(), StoreError> {
    let client = database.get().await?;
    client.batch_execute(include_str!("../../sql/dms.sql")).await?;
    let concrete = compiled.mapping.resources.iter().map(|r| (r.key, &r.project_name, &r.resource_name));
    let abstracts = compiled.mapping.abstracts.iter().map(|a| (a.key, &a.project_name, &a.resource_name));
    for (key, project, resource) in concrete.chain(abstracts) {
        let sql = r#"INSERT INTO "dms"."ResourceKey" VALUES ($1, $2, $3, '1')"#;
        client.execute(sql, &[&key, project, resource]).await?;
    }
    client.batch_execute(&compiled.ddl).await?;
    Ok(())
}

/// Finds a resource by its name.
pub(crate) fn resource(mapping: &Mapping, name: &str) -> ResourceIx {
    mapping.iter().find(|(_, plan)| plan.resource_name == name).unwrap_or_else(|| panic!("no resource {name}")).0
}
