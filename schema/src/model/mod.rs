//! The relational model: tables, keys, constraints and indexes of an effective schema, free of any SQL dialect.
//!
//! [`derive()`] runs in passes over all projects at once: *merge* (extensions into their bases), *traverse* (tables and
//! columns from the JSON schema), *bind* (references to their targets, identities), *constrain* (natural keys, array
//! uniqueness, foreign keys, indexes), *abstracts* (union views), *check* (overrides that match nothing, names that
//! collide once shortened). Names in the model have full length; each dialect shortens and quotes them.

mod abstracts;
mod bind;
mod check;
mod constrain;
mod merge;
pub mod names;
mod naming;
mod traverse;
mod types;

pub use types::{
    AbstractModel, Column, ForeignKey, Index, Model, ModelErrors, ResourceModel, Table, Unique, ViewColumn,
};

use crate::apischema::EffectiveSchema;

/// Derives the model of a loaded schema. The same schema gives the same model, whatever the order of files and keys.
///
/// # Errors
/// Every reason why the schema cannot be mapped to tables.
pub fn derive(schema: &EffectiveSchema) -> Result<Model, ModelErrors> {
    let mut errors = Vec::new();
    check::check_schemas(schema, &mut errors);
    let merged = merge::merge(schema, &mut errors);
    let mut resources: Vec<ResourceModel> =
        merged.iter().map(|resource| traverse::traverse(resource, &mut errors)).collect();
    if !errors.is_empty() {
        return Err(ModelErrors(errors));
    }
    let mut abstracts = abstracts::declare(schema);
    let identity_order = bind::bind(&merged, &mut resources, &abstracts, &mut errors);
    if !errors.is_empty() {
        return Err(ModelErrors(errors));
    }
    abstracts::resolve(&merged, &resources, &mut abstracts, &mut errors);
    constrain::constrain(&merged, &mut resources);
    let mut schemas: Vec<String> =
        schema.projects.iter().map(|p| names::sql_schema(&p.schema.project_endpoint_name)).collect();
    schemas.sort();
    let model = Model { schemas, resources, abstracts, identity_order, warnings: schema.warnings.clone() };
    check::check(&merged, &model, &mut errors);
    if errors.is_empty() { Ok(model) } else { Err(ModelErrors(errors)) }
}
