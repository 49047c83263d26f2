//! Compilation of query fields into SQL conditions.

use crate::ddl::quote;
use crate::mapping::{ColumnType, IdentitySource, QueryField, QueryFilter, QueryKind, QueryPath};
use crate::model::{AbstractModel, Model, ResourceModel, Table};
use std::collections::BTreeMap;

/// Compiles the query fields of a resource. A path that does not exist is omitted; loading the files has warned of it.
pub(super) fn compile_query_fields(model: &Model, resource: &ResourceModel) -> BTreeMap<String, QueryField> {
    let compiler = QueryCompiler { model };
    let fields = resource.query_fields.iter().map(|(name, paths)| {
        let paths = paths.iter().filter_map(|path| compiler.path(resource, path)).collect();
        (name.to_ascii_lowercase(), QueryField { name: name.clone(), paths })
    });
    fields.collect()
}

struct QueryCompiler<'m> {
    model: &'m Model,
}

impl QueryCompiler<'_> {
    fn path(&self, resource: &ResourceModel, path: &str) -> Option<QueryPath> {
        let query_path = |kind, sql| Some(QueryPath { path: path.to_owned(), kind, filter: QueryFilter { sql } });
        if path == "$.id" {
            return query_path(QueryKind::Uuid, r#"r."DocumentId" = {}"#.to_owned());
        }
        if let Some(site) = resource.references.iter().find(|site| path.starts_with(&format!("{}.", site.path))) {
            let name = &path[site.path.len() + 1..];
            let member = site.members.iter().find(|member| member.name == name)?;
            let (kind, inner) = self.identity_value(site.target_key, member.position, 1)?;
            let column = &resource.tables[site.table].columns[site.column].name;
            return query_path(kind, on_root(&resource.tables[site.table], &format!("{} IN ({inner})", quote(column))));
        }
        let (table, column) = *resource.columns_by_path.get(path)?;
        let table = &resource.tables[table];
        let column_name = quote(&table.columns[column].name);
        let kind = match resource.descriptors.iter().find(|site| site.path == path) {
            Some(site) => QueryKind::Descriptor { key: site.target_key },
            None => QueryKind::Value(table.columns[column].ty),
        };
        query_path(kind, on_root(table, &format!("{column_name} = {}", placeholder(kind))))
    }

    /// Returns the documents of a type whose identity has a given value at a position: `SELECT t1."DocumentId" FROM …
    /// t1 WHERE …`.
    fn identity_value(&self, key: i16, position: usize, depth: usize) -> Option<(QueryKind, String)> {
        let alias = format!("t{depth}");
        if let Some(target) = self.model.abstracts.iter().find(|a| a.key == key) {
            return self.abstract_value(target, position, depth);
        }
        let target = self.model.resources.iter().find(|r| r.key == key)?;
        let root = &target.tables[0];
        let (kind, column, inner) = self.element(target, position, depth)?;
        let column = quote(&root.columns[column].name);
        let condition = inner.map_or(format!("= {}", placeholder(kind)), |inner| format!("IN ({inner})"));
        let from = format!("{}.{}", quote(&root.schema), quote(&root.name));
        Some((kind, format!("SELECT {alias}.\"DocumentId\" FROM {from} {alias} WHERE {alias}.{column} {condition}")))
    }

    fn abstract_value(&self, target: &AbstractModel, position: usize, depth: usize) -> Option<(QueryKind, String)> {
        let alias = format!("t{depth}");
        let (first, _) = target.subtypes.first()?;
        let (kind, _, inner) = self.element(&self.model.resources[first.0 as usize], position, depth)?;
        let view_column = &target.columns[*target.column_of_path.get(position)?];
        let kind = if let QueryKind::Value(_) = kind
            && inner.is_none()
        {
            QueryKind::Value(view_column.ty)
        } else {
            kind
        };
        let condition = inner.map_or(format!("= {}", placeholder(kind)), |inner| format!("IN ({inner})"));
        let (from, column) = (format!("{}.{}", quote(&target.schema), quote(&target.view)), quote(&view_column.name));
        Some((kind, format!("SELECT {alias}.\"DocumentId\" FROM {from} {alias} WHERE {alias}.{column} {condition}")))
    }

    /// Returns kind and root column of an identity element, and the subselect for its column if it comes from a
    /// reference.
    fn element(
        &self,
        target: &ResourceModel,
        position: usize,
        depth: usize,
    ) -> Option<(QueryKind, usize, Option<String>)> {
        let element = target.identity.elements.get(position)?;
        match element.source {
            IdentitySource::Column { column } => Some((QueryKind::Value(element.ty), column, None)),
            IdentitySource::Descriptor { site } => {
                let site = &target.descriptors[site];
                Some((QueryKind::Descriptor { key: site.target_key }, site.column, None))
            }
            IdentitySource::Reference { site, position } => {
                let site = &target.references[site];
                let (kind, inner) = self.identity_value(site.target_key, position, depth + 1)?;
                Some((kind, site.column, Some(inner)))
            }
        }
    }
}

/// Returns a condition on the root table's row, or on the extension row beside it.
fn on_root(table: &Table, condition: &str) -> String {
    if table.parent.is_none() {
        return format!("r.{condition}");
    }
    let from = format!("{}.{}", quote(&table.schema), quote(&table.name));
    format!("r.\"DocumentId\" IN (SELECT x.{} FROM {from} x WHERE x.{condition})", quote(&table.key[0]))
}

fn placeholder(kind: QueryKind) -> &'static str {
    match kind {
        QueryKind::Value(ColumnType::Decimal { .. }) => "{}::text::numeric",
        _ => "{}",
    }
}
