//! Abstract resources: no table, but a union view over the root tables of their subtypes
//! (docs/design/edfi-model.md#edfi-4.10).

use super::merge::MergedResource;
use super::names::{pascal, sql_schema, without_suffix};
use super::types::{AbstractModel, ResourceModel, ViewColumn};
use crate::apischema::{EffectiveSchema, path as paths};
use crate::mapping::{ColumnType, IdentityElement, IdentitySource, ResourceIx};

/// Declares the abstract resources of all projects, ordered by key. Their views have no columns yet.
pub(crate) fn declare(schema: &EffectiveSchema) -> Vec<AbstractModel> {
    let mut abstracts = Vec::new();
    for project in &schema.projects {
        for (name, resource) in &project.schema.abstract_resources {
            let same = |k: &&crate::apischema::ResourceKey| {
                k.project_name == project.schema.project_name && &k.resource_name == name
            };
            let Some(key) = schema.resource_keys.iter().find(same) else { continue };
            abstracts.push(AbstractModel {
                key: key.id,
                project_name: project.schema.project_name.clone(),
                resource_name: name.clone(),
                identity_json_paths: resource.identity_json_paths.clone(),
                place: format!("{}: $.projectSchema.abstractResources.{name}", project.file.display()),
                schema: sql_schema(&project.schema.project_endpoint_name),
                view: format!("{}_View", pascal(name)),
                columns: Vec::new(),
                column_of_path: Vec::new(),
                subtypes: Vec::new(),
            });
        }
    }
    abstracts.sort_by_key(|a| a.key);
    abstracts
}

/// Fills in the views: the columns are named after the abstract identity, each subtype's root columns feed them.
pub(crate) fn resolve(
    merged: &[MergedResource<'_>],
    resources: &[ResourceModel],
    abstracts: &mut [AbstractModel],
    errors: &mut Vec<String>,
) {
    for target in abstracts {
        let mut subtypes: Vec<usize> = (0..resources.len())
            .filter(|ix| resources[*ix].identity.superclass.as_ref().is_some_and(|s| s.key == target.key))
            .collect();
        subtypes.sort_by(|a, b| merged[*a].base.resource_name.cmp(&merged[*b].base.resource_name));
        for ix in subtypes {
            let feeds = feed(target, &resources[ix], &merged[ix], errors);
            target.subtypes.push((ResourceIx(ix as u32), feeds));
        }
    }
}

/// Returns the root columns of one subtype, one per view column. The first subtype declares the columns.
fn feed(
    target: &mut AbstractModel,
    subtype: &ResourceModel,
    from: &MergedResource<'_>,
    errors: &mut Vec<String>,
) -> Vec<usize> {
    let declare = target.subtypes.is_empty();
    let mut feeds = vec![usize::MAX; target.columns.len()];
    for (at, element) in subtype.identity.elements.iter().enumerate() {
        let Some(path) = target.identity_json_paths.get(at) else { continue };
        let (name, ty, column) = view_column(path, element, subtype);
        let position = target.columns.iter().position(|c| c.name == name);
        let position = match position {
            Some(position) => position,
            None if declare => {
                target.columns.push(ViewColumn { name: name.clone(), ty });
                feeds.push(usize::MAX);
                target.columns.len() - 1
            }
            None => {
                errors.push(format!(
                    "{}.identityJsonPaths: {path} is not stored as in the other subtypes of {}",
                    from.label(),
                    target.resource_name
                ));
                continue;
            }
        };
        feeds[position] = column;
        target.columns[position].ty = common_type(target.columns[position].ty, ty);
        if declare {
            target.column_of_path.push(position);
        }
    }
    feeds
}

/// Returns the type that holds the values of both: a view column has one type, however its subtypes store the value.
fn common_type(a: ColumnType, b: ColumnType) -> ColumnType {
    match (a, b) {
        (a, b) if a == b => a,
        (ColumnType::Int4 | ColumnType::Int8, ColumnType::Int4 | ColumnType::Int8) => ColumnType::Int8,
        (ColumnType::Decimal { precision, scale }, ColumnType::Decimal { precision: other, scale: other_scale }) => {
            let whole = precision.saturating_sub(scale).max(other.saturating_sub(other_scale));
            let scale = scale.max(other_scale);
            ColumnType::Decimal { precision: whole.saturating_add(scale), scale }
        }
        _ => ColumnType::Text,
    }
}

/// Renames a value that is called like a column of every view.
fn avoid_view_columns(name: String) -> String {
    if matches!(name.as_str(), "DocumentId" | "Discriminator") { format!("{name}Value") } else { name }
}

fn view_column(path: &str, element: &IdentityElement, subtype: &ResourceModel) -> (String, ColumnType, usize) {
    let whole = |path: &str| paths::below(path, "$").into_iter().map(pascal).collect::<String>();
    match element.source {
        IdentitySource::Column { column } => (avoid_view_columns(whole(path)), element.ty, column),
        IdentitySource::Descriptor { site } => {
            let name = format!("{}_DescriptorId", without_suffix(&whole(path), "Descriptor"));
            (name, ColumnType::Descriptor, subtype.descriptors[site].column)
        }
        IdentitySource::Reference { site, .. } => {
            let name = format!("{}_DocumentId", without_suffix(&whole(paths::parent(path)), "Reference"));
            (name, ColumnType::Document, subtype.references[site].column)
        }
    }
}
