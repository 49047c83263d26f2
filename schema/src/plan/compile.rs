//! Compilation of the relational model into a [`Mapping`]: final names, statements, query conditions.

use super::query::compile_query_fields;
use crate::apischema::EffectiveSchema;
use crate::ddl::{quote, short};
use crate::mapping::{AbstractPlan, ColumnPlan, ColumnType, Mapping, ResourceIx, ResourcePlan, TablePlan, TableRole};
use crate::model::{AbstractModel, Model, ResourceModel, Table};
use std::collections::BTreeMap;

/// Compiles the mapping of a model.
pub fn compile(schema: &EffectiveSchema, model: &Model) -> Mapping {
    let mut routes: BTreeMap<String, BTreeMap<String, ResourceIx>> = BTreeMap::new();
    for (ix, resource) in model.resources.iter().enumerate() {
        let project = routes.entry(resource.project_endpoint.to_ascii_lowercase()).or_default();
        project.insert(resource.endpoint.to_ascii_lowercase(), ResourceIx(ix as u32));
    }
    Mapping {
        effective_schema_hash: schema.hash.clone(),
        resources: model.resources.iter().map(|resource| compile_resource(model, resource)).collect(),
        abstracts: model.abstracts.iter().map(compile_abstract).collect(),
        routes,
        identity_order: model.identity_order.clone(),
    }
}

fn compile_abstract(target: &AbstractModel) -> AbstractPlan {
    AbstractPlan {
        key: target.key,
        project_name: target.project_name.clone(),
        resource_name: target.resource_name.clone(),
        identity_json_paths: target.identity_json_paths.clone(),
        subtypes: target.subtypes.iter().map(|(ix, _)| *ix).collect(),
        view: format!("{}.{}", quote(&target.schema), quote(&target.view)),
    }
}

fn compile_resource(model: &Model, resource: &ResourceModel) -> ResourcePlan {
    ResourcePlan {
        key: resource.key,
        project_name: resource.project_name.clone(),
        resource_name: resource.resource_name.clone(),
        resource_version: resource.resource_version.clone(),
        project_endpoint: resource.project_endpoint.clone(),
        endpoint: resource.endpoint.clone(),
        is_descriptor: resource.is_descriptor,
        allow_identity_updates: resource.allow_identity_updates,
        changeable: resource.changeable,
        identity: resource.identity.clone(),
        body: resource.body.clone(),
        tables: resource.tables.iter().map(compile_table).collect(),
        references: resource.references.clone(),
        descriptors: resource.descriptors.clone(),
        json_schema: resource.json_schema.clone(),
        equality_constraints: resource.equality_constraints.clone(),
        array_uniqueness: resource.array_uniqueness.clone(),
        query_fields: compile_query_fields(model, resource),
    }
}

fn compile_table(table: &Table) -> TablePlan {
    let statements = Statements::of(table);
    TablePlan {
        qualified: statements.qualified.clone(),
        role: table.role,
        parent: table.parent,
        key_columns: table.key.iter().map(|name| short(name)).collect(),
        depth: table.key.len() - 1,
        columns: table
            .columns
            .iter()
            .map(|column| ColumnPlan { name: short(&column.name), ty: column.ty, required: column.required })
            .collect(),
        insert_sql: statements.insert(),
        update_sql: if table.role == TableRole::Root { statements.update() } else { String::new() },
        select_sql: statements.select(),
        delete_sql: statements.delete(),
    }
}

/// The four statements of one table. Each works on any number of documents.
struct Statements {
    qualified: String,
    document_id: String,
    keys: Vec<String>,
    columns: Vec<StatementColumn>,
}

struct StatementColumn {
    /// Quoted name.
    name: String,
    /// Type of the array parameter.
    array: &'static str,
    /// Cast from the parameter to the column.
    write_cast: &'static str,
    /// Cast from the column to the result.
    read_cast: &'static str,
}

impl Statements {
    fn of(table: &Table) -> Self {
        let keys: Vec<String> = table.key.iter().map(|name| quote(name)).collect();
        let columns = table.columns.iter().map(|column| {
            let (array, write_cast, read_cast) = match column.ty {
                ColumnType::Text => ("text[]", "", ""),
                ColumnType::Decimal { .. } => ("text[]", "::numeric", "::text"),
                // `dms.Descriptor.ResourceKeyId` is a smallint.
                ColumnType::Int4 if table.schema == "dms" => ("int4[]", "::int2", "::int4"),
                ColumnType::Int4 => ("int4[]", "", ""),
                ColumnType::Int8 | ColumnType::Document | ColumnType::Descriptor => ("int8[]", "", ""),
                ColumnType::Bool => ("bool[]", "", ""),
                ColumnType::Date => ("date[]", "", ""),
                ColumnType::Time => ("time[]", "", ""),
                ColumnType::Timestamp => ("timestamptz[]", "", ""),
            };
            StatementColumn { name: quote(&column.name), array, write_cast, read_cast }
        });
        Self {
            qualified: format!("{}.{}", quote(&table.schema), quote(&table.name)),
            document_id: keys[0].clone(),
            columns: columns.collect(),
            keys,
        }
    }

    /// Returns `unnest($1::int8[], $2::int4[], …) AS u(k0, k1, …, c0, …)`.
    fn unnest(&self) -> String {
        let keys = (0..self.keys.len()).map(|at| if at == 0 { "int8[]" } else { "int4[]" });
        let types = keys.chain(self.columns.iter().map(|column| column.array));
        let parameters: Vec<String> = types.enumerate().map(|(at, ty)| format!("${}::{ty}", at + 1)).collect();
        let names = (0..self.keys.len()).map(|at| format!("k{at}"));
        let names: Vec<String> = names.chain((0..self.columns.len()).map(|at| format!("c{at}"))).collect();
        format!("unnest({}) AS u({})", parameters.join(", "), names.join(", "))
    }

    fn insert(&self) -> String {
        let names = self.keys.iter().chain(self.columns.iter().map(|column| &column.name));
        let keys = (0..self.keys.len()).map(|at| format!("u.k{at}"));
        let values =
            keys.chain(self.columns.iter().enumerate().map(|(at, column)| format!("u.c{at}{}", column.write_cast)));
        format!(
            "INSERT INTO {} ({}) SELECT {} FROM {}",
            self.qualified,
            names.cloned().collect::<Vec<_>>().join(", "),
            values.collect::<Vec<_>>().join(", "),
            self.unnest()
        )
    }

    fn update(&self) -> String {
        let set: Vec<String> = self
            .columns
            .iter()
            .enumerate()
            .map(|(at, column)| format!("{} = u.c{at}{}", column.name, column.write_cast))
            .collect();
        if set.is_empty() {
            return String::new();
        }
        format!(
            "UPDATE {} AS t SET {} FROM {} WHERE t.{} = u.k0",
            self.qualified,
            set.join(", "),
            self.unnest(),
            self.keys[0]
        )
    }

    fn select(&self) -> String {
        let columns = self.columns.iter().map(|column| format!("{}{}", column.name, column.read_cast));
        let names: Vec<String> = self.keys.iter().cloned().chain(columns).collect();
        format!(
            "SELECT {} FROM {} WHERE {} = ANY($1::int8[]) ORDER BY {}",
            names.join(", "),
            self.qualified,
            self.document_id,
            self.keys.join(", ")
        )
    }

    fn delete(&self) -> String {
        format!("DELETE FROM {} WHERE {} = ANY($1::int8[])", self.qualified, self.document_id)
    }
}
