//! PostgreSQL DDL of a model: schemas, tables with their keys, then foreign keys, indexes and views
//! (docs/design/edfi-model.md#edfi-4.12).
//!
//! The statements create objects and alter none. Run them in one transaction, after the `dms` tables exist. Another
//! dialect would be another module beside this one.

use crate::mapping::{ColumnType, TableRole};
use crate::model::names::{POSTGRES_NAME_BYTES_MAX, shorten};
use crate::model::{AbstractModel, Column, ForeignKey, Index, Model, Table, ViewColumn};
use std::fmt::Write;

/// Shortens a name to PostgreSQL's limit.
pub fn short(name: &str) -> String {
    shorten(name, POSTGRES_NAME_BYTES_MAX)
}

/// Shortens and quotes a name.
pub fn quote(name: &str) -> String {
    format!("\"{}\"", short(name).replace('"', "\"\""))
}

/// Returns the SQL type of a column.
pub fn column_type(ty: ColumnType, length_max: Option<u32>) -> String {
    match (ty, length_max) {
        // The maximum of varchar(n) is 10,485,760.
        (ColumnType::Text, Some(length)) if (1..=10_485_760).contains(&length) => format!("varchar({length})"),
        (ColumnType::Text, _) => "text".to_owned(),
        (ColumnType::Int4, _) => "integer".to_owned(),
        (ColumnType::Int8 | ColumnType::Document | ColumnType::Descriptor, _) => "bigint".to_owned(),
        (ColumnType::Decimal { precision, scale }, _) => format!("numeric({precision},{scale})"),
        (ColumnType::Bool, _) => "boolean".to_owned(),
        (ColumnType::Date, _) => "date".to_owned(),
        (ColumnType::Time, _) => "time".to_owned(),
        (ColumnType::Timestamp, _) => "timestamp with time zone".to_owned(),
    }
}

/// Returns the DDL of all resource tables: schemas, tables, constraints, indexes and views. The `dms` tables are not
/// included.
pub fn postgres(model: &Model) -> String {
    let mut out = String::new();
    for schema in &model.schemas {
        line(&mut out, format_args!("CREATE SCHEMA {};", quote(schema)));
    }
    model.tables().for_each(|table| create_table(&mut out, table));
    for table in model.tables() {
        table.foreign_keys.iter().for_each(|key| add_foreign_key(&mut out, table, key));
    }
    for table in model.tables() {
        table.indexes.iter().for_each(|index| create_index(&mut out, table, index));
    }
    model.abstracts.iter().for_each(|view| create_view(&mut out, model, view));
    out
}

fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    out.write_fmt(text).and_then(|()| out.write_char('\n')).unwrap_or_default();
}

fn qualified(table: &Table) -> String {
    format!("{}.{}", quote(&table.schema), quote(&table.name))
}

fn list(columns: &[String]) -> String {
    columns.iter().map(|column| quote(column)).collect::<Vec<_>>().join(", ")
}

fn create_table(out: &mut String, table: &Table) {
    let mut parts: Vec<String> = Vec::new();
    for (at, name) in table.key.iter().enumerate() {
        let ty = if at == 0 { "bigint" } else { "integer" };
        parts.push(format!("{} {ty} NOT NULL", quote(name)));
    }
    parts.extend(table.columns.iter().map(column_definition));
    parts.push(format!("CONSTRAINT {} PRIMARY KEY ({})", quote(&format!("PK_{}", table.name)), list(&table.key)));
    for unique in &table.uniques {
        parts.push(format!("CONSTRAINT {} UNIQUE ({})", quote(&unique.name), list(&unique.columns)));
    }
    let storage = if table.role == TableRole::Root { " WITH (fillfactor = 90)" } else { "" };
    line(out, format_args!("CREATE TABLE {} (\n  {}\n){storage};", qualified(table), parts.join(",\n  ")));
}

fn column_definition(column: &Column) -> String {
    let null = if column.required { " NOT NULL" } else { "" };
    format!("{} {}{null}", quote(&column.name), column_type(column.ty, column.length_max))
}

fn add_foreign_key(out: &mut String, table: &Table, key: &ForeignKey) {
    let cascade = if key.cascade { " ON DELETE CASCADE" } else { "" };
    line(
        out,
        format_args!(
            "ALTER TABLE {} ADD CONSTRAINT {} FOREIGN KEY ({}) REFERENCES {}.{} ({}){cascade};",
            qualified(table),
            quote(&key.name),
            list(&key.columns),
            quote(&key.target_schema),
            quote(&key.target_table),
            list(&key.target_columns)
        ),
    );
}

fn create_index(out: &mut String, table: &Table, index: &Index) {
    let method = if index.hash { " USING hash" } else { "" };
    let (name, on, columns) = (quote(&index.name), qualified(table), list(&index.columns));
    line(out, format_args!("CREATE INDEX {name} ON {on}{method} ({columns});"));
}

fn create_view(out: &mut String, model: &Model, view: &AbstractModel) {
    let name = format!("{}.{}", quote(&view.schema), quote(&view.view));
    let mut selects: Vec<String> = Vec::new();
    for (ix, feeds) in &view.subtypes {
        let resource = &model.resources[ix.0 as usize];
        let root = &resource.tables[0];
        let sources = feeds.iter().map(|feed| quote(&root.columns[*feed].name)).collect();
        let discriminator = format!("{}:{}", resource.project_name, resource.resource_name).replace('\'', "''");
        let from = format!(" FROM {}", qualified(root));
        selects.push(view_select(view, "\"DocumentId\"", sources, &discriminator, &from));
    }
    if selects.is_empty() {
        let sources = view.columns.iter().map(|_| "NULL".to_owned()).collect();
        selects.push(view_select(view, "CAST(NULL AS bigint)", sources, "", " WHERE false"));
    }
    line(out, format_args!("CREATE VIEW {name} AS\n{};", selects.join("\n  UNION ALL\n")));
}

fn view_select(view: &AbstractModel, id: &str, sources: Vec<String>, discriminator: &str, from: &str) -> String {
    let cast = |(column, source): (&ViewColumn, String)| {
        format!(", CAST({source} AS {}) AS {}", column_type(column.ty, None), quote(&column.name))
    };
    let columns: String = view.columns.iter().zip(sources).map(cast).collect();
    format!(
        "  SELECT {id} AS \"DocumentId\"{columns}, CAST('{discriminator}' AS varchar(256)) AS \"Discriminator\"{from}"
    )
}
