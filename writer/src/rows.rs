//! Rows as column arrays for one statement per table, and their hash.

use crate::body::{Cell, FlatDocument, Row, Scalar};
use crate::resolve::Binding;
use jiff::civil::{Date, Time};
use millstream_schema::plan::{ColumnType, DescriptorColumn, ResourcePlan, TablePlan};
use millstream_store::calendar::UtcSecond;
use millstream_store::table::descriptor;
use millstream_store::transaction::{Param, Pipeline, param};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;

/// A body with its resolved targets, about to become one document's rows.
pub(crate) struct BoundDocument<'a> {
    pub(crate) document_id: i64,
    pub(crate) flat: &'a FlatDocument,
    pub(crate) binding: &'a Binding,
}

/// Targets whose columns are NULL for now.
type Postponed = BTreeSet<usize>;

/// Values of one column over many rows.
enum ColumnValues {
    Text(Vec<Option<String>>),
    Int4(Vec<Option<i32>>),
    Int8(Vec<Option<i64>>),
    Bool(Vec<Option<bool>>),
    Date(Vec<Option<Date>>),
    Time(Vec<Option<Time>>),
    Timestamp(Vec<Option<UtcSecond>>),
}

impl ColumnValues {
    fn new(ty: ColumnType, rows: usize) -> Self {
        match ty {
            ColumnType::Text | ColumnType::Decimal { .. } => Self::Text(Vec::with_capacity(rows)),
            ColumnType::Int4 => Self::Int4(Vec::with_capacity(rows)),
            ColumnType::Int8 | ColumnType::Document | ColumnType::Descriptor => Self::Int8(Vec::with_capacity(rows)),
            ColumnType::Bool => Self::Bool(Vec::with_capacity(rows)),
            ColumnType::Date => Self::Date(Vec::with_capacity(rows)),
            ColumnType::Time => Self::Time(Vec::with_capacity(rows)),
            ColumnType::Timestamp => Self::Timestamp(Vec::with_capacity(rows)),
        }
    }

    fn push(&mut self, cell: &Cell, binding: &Binding) {
        match (self, cell) {
            (Self::Int8(values), Cell::Target(target)) => values.push(Some(binding.document_id(*target))),
            (Self::Text(values), Cell::Value(Scalar::Text(text) | Scalar::Decimal(text))) => {
                values.push(Some(text.clone()))
            }
            (Self::Int4(values), Cell::Value(Scalar::Int4(number))) => values.push(Some(*number)),
            (Self::Int8(values), Cell::Value(Scalar::Int8(number))) => values.push(Some(*number)),
            (Self::Bool(values), Cell::Value(Scalar::Bool(flag))) => values.push(Some(*flag)),
            (Self::Date(values), Cell::Value(Scalar::Date(date))) => values.push(Some(*date)),
            (Self::Time(values), Cell::Value(Scalar::Time(time))) => values.push(Some(*time)),
            (Self::Timestamp(values), Cell::Value(Scalar::Timestamp(at))) => values.push(Some(*at)),
            (column, _) => column.push_null(),
        }
    }

    fn push_null(&mut self) {
        match self {
            Self::Text(values) => values.push(None),
            Self::Int4(values) => values.push(None),
            Self::Int8(values) => values.push(None),
            Self::Bool(values) => values.push(None),
            Self::Date(values) => values.push(None),
            Self::Time(values) => values.push(None),
            Self::Timestamp(values) => values.push(None),
        }
    }

    fn into_param(self) -> Param {
        match self {
            Self::Text(values) => Box::new(values),
            Self::Int4(values) => Box::new(values),
            Self::Int8(values) => Box::new(values),
            Self::Bool(values) => Box::new(values),
            Self::Date(values) => Box::new(values),
            Self::Time(values) => Box::new(values),
            Self::Timestamp(values) => Box::new(values),
        }
    }
}

/// The parameters of `insert_sql` (and `update_sql`) of one table, for the rows of all documents together; `None` if
/// there are no rows. `postponed` goes with `documents`, or is empty.
fn params(
    table: &TablePlan,
    at: usize,
    documents: &[BoundDocument<'_>],
    postponed: &[&Postponed],
) -> Option<Vec<Param>> {
    let rows: usize = documents.iter().map(|document| document.flat.tables[at].len()).sum();
    if rows == 0 {
        return None;
    }
    let mut ids: Vec<i64> = Vec::with_capacity(rows);
    let mut ordinals: Vec<Vec<i32>> = (0..table.depth).map(|_| Vec::with_capacity(rows)).collect();
    let mut columns: Vec<ColumnValues> =
        table.columns.iter().map(|column| ColumnValues::new(column.ty, rows)).collect();
    for (number, document) in documents.iter().enumerate() {
        let is_postponed = |cell: &Cell| match cell {
            Cell::Target(target) => postponed.get(number).is_some_and(|postponed| postponed.contains(target)),
            _ => false,
        };
        for row in &document.flat.tables[at] {
            ids.push(document.document_id);
            ordinals.iter_mut().zip(&row.ordinals).for_each(|(column, ordinal)| column.push(*ordinal));
            for (column, cell) in columns.iter_mut().zip(&row.cells) {
                if is_postponed(cell) { column.push_null() } else { column.push(cell, document.binding) }
            }
        }
    }
    let keys = std::iter::once(Box::new(ids) as Param).chain(ordinals.into_iter().map(|o| Box::new(o) as Param));
    Some(keys.chain(columns.into_iter().map(ColumnValues::into_param)).collect())
}

/// Adds the inserts of new documents of one type: one statement per table that gets rows.
pub(crate) fn add_inserts(pipeline: &mut Pipeline<'_>, resource: &ResourcePlan, documents: &[BoundDocument<'_>]) {
    add_roots(pipeline, resource, documents, &[]);
    add_children(pipeline, resource, documents);
}

/// Adds the insert of the root rows of new documents of one type. The columns of `postponed` targets, given for each
/// document or for none, are NULL until [`add_root_updates`].
pub(crate) fn add_roots(
    pipeline: &mut Pipeline<'_>,
    resource: &ResourcePlan,
    documents: &[BoundDocument<'_>],
    postponed: &[&Postponed],
) {
    let table = &resource.tables[0];
    if let Some(params) = params(table, 0, documents, postponed) {
        pipeline.execute(table.insert_sql.to_string(), params);
    }
}

/// Adds the update of the root rows of documents of one type to all their columns.
pub(crate) fn add_root_updates(pipeline: &mut Pipeline<'_>, resource: &ResourcePlan, documents: &[BoundDocument<'_>]) {
    let table = &resource.tables[0];
    if let Some(params) = params(table, 0, documents, &[]) {
        pipeline.execute(table.update_sql.to_string(), params);
    }
}

/// Adds the inserts below the root rows of new documents of one type.
pub(crate) fn add_children(pipeline: &mut Pipeline<'_>, resource: &ResourcePlan, documents: &[BoundDocument<'_>]) {
    for (at, table) in resource.tables.iter().enumerate().skip(1) {
        if let Some(params) = params(table, at, documents, &[]) {
            pipeline.execute(table.insert_sql.to_string(), params);
        }
    }
}

/// Adds the replacement of existing documents of one type: the root row is updated, everything below is replaced.
pub(crate) fn add_replacements(pipeline: &mut Pipeline<'_>, resource: &ResourcePlan, documents: &[BoundDocument<'_>]) {
    let ids: Vec<i64> = documents.iter().map(|document| document.document_id).collect();
    for table in resource.tables.iter().filter(|table| table.parent == Some(0)) {
        pipeline.execute(table.delete_sql.to_string(), vec![param(ids.clone())]);
    }
    for (at, table) in resource.tables.iter().enumerate() {
        let Some(params) = params(table, at, documents, &[]) else { continue };
        if at == 0 && resource.is_descriptor {
            descriptor::update(pipeline, params);
            continue;
        }
        let sql = if at > 0 { &table.insert_sql } else { &table.update_sql };
        if !sql.is_empty() {
            pipeline.execute(sql.to_string(), params);
        }
    }
}

/// The hash of the resolved rows (docs/design/rules.md#rule-10): equal exactly if the stored rows would be. For
/// descriptors it leaves out the casing of the URI, which is not written again.
pub(crate) fn content_hash(resource: &ResourcePlan, flat: &FlatDocument, binding: &Binding) -> Vec<u8> {
    let mut hash = Sha256::new();
    for (at, rows) in flat.tables.iter().enumerate().filter(|(_, rows)| !rows.is_empty()) {
        hash.update((at as u32).to_be_bytes());
        hash.update((rows.len() as u32).to_be_bytes());
        for row in rows {
            row.ordinals.iter().for_each(|ordinal| hash.update(ordinal.to_be_bytes()));
            hash_cells(&mut hash, resource, row, binding);
        }
    }
    hash.finalize().to_vec()
}

fn hash_cells(hash: &mut Sha256, resource: &ResourcePlan, row: &Row, binding: &Binding) {
    let immutable = |column: usize| {
        resource.is_descriptor && DescriptorColumn::ALL.get(column).is_some_and(|column| column.is_immutable())
    };
    for (column, cell) in row.cells.iter().enumerate() {
        match cell {
            Cell::Value(_) if immutable(column) => hash.update([0]),
            Cell::Null => hash.update([0]),
            Cell::Target(target) => {
                hash.update([1]);
                hash.update(binding.document_id(*target).to_be_bytes());
            }
            Cell::Value(scalar) => {
                let text = scalar.canonical();
                hash.update([2]);
                hash.update((text.len() as u32).to_be_bytes());
                hash.update(text.as_bytes());
            }
        }
    }
}
