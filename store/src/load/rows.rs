//! The rows of a batch of documents, type by type and table by table, kept as they came from the server.

use super::row_budget::RowBudget;
use crate::connect::GenericClient;
use crate::error::{ErrorKind, StoreError};
use crate::table::document::DocumentHead;
use futures::future::join_all;
use millstream_schema::plan::{ColumnPlan, ColumnType, Mapping, ResourceIx, ResourcePlan, TablePlan};
use std::collections::BTreeMap;
use tokio_postgres::Row;
use tokio_postgres::types::{FromSql, Type};

/// Rows of documents of any number of types.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) types: BTreeMap<ResourceIx, TypeRows>,
}

/// Rows of documents of one type.
#[derive(Debug)]
pub(crate) struct TypeRows {
    /// The documents asked for, ascending, without repeats.
    pub(crate) ids: Vec<i64>,
    /// One per table, in the order of `ResourcePlan::tables`.
    pub(crate) tables: Vec<TableRows>,
}

/// Rows of one table, ordered by key: document id, then ordinals.
#[derive(Debug)]
pub(crate) struct TableRows {
    rows: Vec<Row>,
    depth: usize,
}

/// The tables of a type to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    /// All of them.
    Whole,
    /// The root table: all that an identity needs.
    Root,
}

/// Reads the rows of these documents: one statement per table of each type among them, all sent at once. Documents of
/// unknown types have no rows. Returns `None` if the rows exceed the budget.
pub(crate) async fn load_batch<C: GenericClient>(
    client: &C,
    mapping: &Mapping,
    documents: impl IntoIterator<Item = (i64, i16)>,
    extent: Extent,
    budget: &RowBudget,
) -> Result<Option<Batch>, StoreError> {
    let ids = ids_by_type(mapping, documents);
    let statements = ids.iter().flat_map(|(ix, ids)| {
        tables_of(mapping.resource(*ix), extent).iter().map(move |table| load_table(client, table, ids, budget))
    });
    // Takes every answer, the failed one too: none may be left unread on the connection. The driver discards what a
    // statement still sends after its rows were dropped.
    let mut answers = join_all(statements).await.into_iter();
    let mut batch = Batch::default();
    for (ix, ids) in &ids {
        let count = tables_of(mapping.resource(*ix), extent).len();
        let tables = answers.by_ref().take(count).collect::<Result<Vec<_>, _>>()?;
        batch.types.insert(*ix, TypeRows { ids: ids.clone(), tables });
    }
    Ok((!budget.is_exceeded()).then_some(batch))
}

/// The distinct documents of each known type, ascending.
pub(super) fn ids_by_type(
    mapping: &Mapping,
    documents: impl IntoIterator<Item = (i64, i16)>,
) -> BTreeMap<ResourceIx, Vec<i64>> {
    let mut ids: BTreeMap<ResourceIx, Vec<i64>> = BTreeMap::new();
    for (id, key) in documents {
        if let Some(ix) = mapping.by_key(key) {
            ids.entry(ix).or_default().push(id);
        }
    }
    for ids in ids.values_mut() {
        ids.sort_unstable();
        ids.dedup();
    }
    ids
}

/// [`load_batch`] of whole documents.
pub(crate) async fn load_documents<C: GenericClient>(
    client: &C,
    mapping: &Mapping,
    heads: &[DocumentHead],
    budget: &RowBudget,
) -> Result<Option<Batch>, StoreError> {
    load_batch(client, mapping, heads.iter().map(|head| (head.document_id, head.key)), Extent::Whole, budget).await
}

fn tables_of(resource: &ResourcePlan, extent: Extent) -> &[TablePlan] {
    match extent {
        Extent::Whole => &resource.tables,
        Extent::Root => &resource.tables[..1.min(resource.tables.len())],
    }
}

/// Reads rows until the budget is exceeded.
async fn load_table<C: GenericClient>(
    client: &C,
    plan: &TablePlan,
    ids: &[i64],
    budget: &RowBudget,
) -> Result<TableRows, StoreError> {
    let statement = client.prepare_cached(&plan.select_sql).await?;
    let take = |row: &Row| budget.take(row_overhead(plan) + row.raw_size_bytes());
    let rows = client.query_while(&statement, &[&ids], take).await?;
    if let Some(first) = rows.first() {
        check_types(plan, first)?;
    }
    Ok(TableRows { rows, depth: plan.depth })
}

/// Memory of a row beside its values: the driver's row and column offsets, and the values that composing looks up for
/// its references and descriptors.
pub(super) fn row_overhead(plan: &TablePlan) -> usize {
    const ROW_BYTES: usize = 96;
    const COLUMN_BYTES: usize = 24;
    const LOOKUP_BYTES: usize = 128;
    let is_lookup = |column: &&ColumnPlan| matches!(column.ty, ColumnType::Document | ColumnType::Descriptor);
    let lookups = plan.columns.iter().filter(is_lookup).count();
    ROW_BYTES + (1 + plan.depth + plan.columns.len()) * COLUMN_BYTES + lookups * LOOKUP_BYTES
}

/// Checks that the result set is what the plan says: from here on values are read as bytes, by position.
fn check_types(plan: &TablePlan, row: &Row) -> Result<(), StoreError> {
    let keys = 1 + plan.depth;
    let found = row.columns();
    let key_fits = |at: usize, ty: &Type| *ty == if at == 0 { Type::INT8 } else { Type::INT4 };
    let fits = found.len() == keys + plan.columns.len()
        && found.iter().take(keys).enumerate().all(|(at, column)| key_fits(at, column.type_()))
        && found.iter().skip(keys).zip(&plan.columns).all(|(column, plan)| column_fits(plan, column.type_()));
    if fits {
        return Ok(());
    }
    let types: Vec<String> = found.iter().map(|column| format!("{} {}", column.name(), column.type_())).collect();
    let message = format!(
        "{} does not have the columns that the compiled mapping expects, its answer has ({}): the database was provisioned \
         for another schema",
        plan.qualified,
        types.join(", ")
    );
    Err(StoreError::new(ErrorKind::Schema { message: message.clone() }, message))
}

fn column_fits(plan: &ColumnPlan, ty: &Type) -> bool {
    match plan.ty {
        ColumnType::Text => [Type::VARCHAR, Type::TEXT].contains(ty),
        ColumnType::Decimal { .. } => *ty == Type::TEXT,
        ColumnType::Int4 => [Type::INT4, Type::INT2].contains(ty),
        ColumnType::Int8 | ColumnType::Document | ColumnType::Descriptor => *ty == Type::INT8,
        ColumnType::Bool => *ty == Type::BOOL,
        ColumnType::Date => *ty == Type::DATE,
        ColumnType::Time => *ty == Type::TIME,
        ColumnType::Timestamp => *ty == Type::TIMESTAMPTZ,
    }
}

/// A value as the server sent it, in PostgreSQL's binary format, whatever its type.
struct Raw<'a>(Option<&'a [u8]>);

impl<'a> FromSql<'a> for Raw<'a> {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Self(Some(raw)))
    }

    fn from_sql_null(_: &Type) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Self(None))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

impl TypeRows {
    /// All surrogate keys in one column of one table, NULLs left out; empty if the table was not read.
    pub(crate) fn ids_in(&self, table: usize, column: usize) -> impl Iterator<Item = i64> {
        self.tables
            .get(table)
            .into_iter()
            .flat_map(move |rows| (0..rows.len()).filter_map(move |at| rows.id(at, column)))
    }
}

impl TableRows {
    /// Number of rows.
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// The document that row `at` belongs to. `None` past the end.
    pub(crate) fn document_id(&self, at: usize) -> Option<i64> {
        self.bytes(at, 0).and_then(|raw| Some(i64::from_be_bytes(raw.try_into().ok()?)))
    }

    /// Ordinal number `level` of row `at`, the outermost first.
    pub(crate) fn ordinal(&self, at: usize, level: usize) -> Option<i32> {
        self.bytes(at, 1 + level).and_then(|raw| Some(i32::from_be_bytes(raw.try_into().ok()?)))
    }

    /// The value of a column (an index into `TablePlan::columns`) of row `at`, in binary; `None` for NULL.
    pub(crate) fn value(&self, at: usize, column: usize) -> Option<&[u8]> {
        self.bytes(at, 1 + self.depth + column)
    }

    /// A surrogate key in a column of row `at`; `None` for NULL.
    pub(crate) fn id(&self, at: usize, column: usize) -> Option<i64> {
        self.value(at, column).and_then(|raw| Some(i64::from_be_bytes(raw.try_into().ok()?)))
    }

    fn bytes(&self, at: usize, column: usize) -> Option<&[u8]> {
        self.rows.get(at)?.try_get::<_, Raw<'_>>(column).ok()?.0
    }
}
