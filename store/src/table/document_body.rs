//! `dms.Document` joined with `dms.DocumentCache`: what a read needs of a document if its cached body is current.

use std::sync::LazyLock;

use crate::connect::GenericClient;
use bytes::Bytes;
use millstream_schema::plan::{ResourceKeyId, ResourcePlan};
use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

use super::document::DocumentHead;
use super::query::{FromRow, column_index, column_indexes, expanded, query_cached, read_rows};
use crate::error::StoreError;

static BY_UUID: LazyLock<String> = expanded!("document_body_by_uuid.sql");
static PAGE: LazyLock<String> = expanded!("document_body_page.sql");

/// The page statement's own parameters, which precede those of its filters: behind which document, limit, offset, most
/// bytes of bodies.
pub const PAGING_PARAMETERS: usize = 4;

/// A document with its cached body, if the cache holds the body of the effective version.
#[derive(Debug, Clone)]
pub struct DocumentBody {
    /// The document.
    pub head: DocumentHead,
    /// Its cached body.
    pub body: CachedBody,
}

/// The result of reading a cached body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CachedBody {
    /// The body of the effective version.
    Current(Bytes),
    /// No body of the effective version: it must be composed.
    NotCurrent,
    /// The body of the effective version, not read because it did not fit.
    Deferred {
        /// Its size.
        bytes: usize,
    },
}

/// The columns of a [`DocumentBody`].
#[derive(Debug)]
pub struct DocumentBodyColumns {
    head: <DocumentHead as FromRow>::Columns,
    cached: [usize; 3],
}

impl FromRow for DocumentBody {
    type Columns = DocumentBodyColumns;

    fn columns(row: &Row) -> Result<Self::Columns, StoreError> {
        let cached = column_indexes(row, ["CachedVersion", "BodyBytes", "Body"])?;
        Ok(DocumentBodyColumns { head: DocumentHead::columns(row)?, cached })
    }

    fn from_row(row: &Row, columns: &Self::Columns) -> Result<Self, StoreError> {
        let head = DocumentHead::from_row(row, &columns.head)?;
        let [version, bytes, body] = columns.cached;
        let body = if row.try_get::<_, Option<i64>>(version)? != Some(head.effective_version) {
            CachedBody::NotCurrent
        } else if let Some(body) = row.try_get::<_, Option<&str>>(body)? {
            CachedBody::Current(Bytes::copy_from_slice(body.as_bytes()))
        } else {
            CachedBody::Deferred { bytes: usize::try_from(row.try_get::<_, i64>(bytes)?).unwrap_or_default() }
        };
        Ok(Self { head, body })
    }
}

/// Reads a document of a type by its public id, with a body of at most `bytes_max` bytes.
pub async fn by_uuid<C: GenericClient>(
    client: &C,
    uuid: Uuid,
    key: ResourceKeyId,
    bytes_max: usize,
) -> Result<Option<DocumentBody>, StoreError> {
    let bytes_max = i64::try_from(bytes_max).unwrap_or(i64::MAX);
    let rows = query_cached(client, &BY_UUID, &[&uuid, &key, &bytes_max]).await?;
    Ok(read_rows(&rows)?.pop())
}

/// A page of the documents of one type, ordered by DocumentId.
#[derive(Debug)]
pub struct PageQuery {
    sql: String,
    types: Option<Vec<Type>>,
}

/// The rows of a page.
#[derive(Debug)]
pub struct PageRows {
    /// The documents.
    pub documents: Vec<DocumentBody>,
    /// The number of documents that match the filters, if the query counts them.
    pub total: Option<i64>,
}

impl PageQuery {
    /// The page of a type whose filters select with `counted`, and with `paged` for those behind a document (each a
    /// `WHERE` clause over the root table under the alias `r`, or empty). `types` are the types of the filters'
    /// parameters; `None` if there are no filters.
    ///
    /// The documents are decided on the root table alone; the total comes from the same snapshot, and is joined from
    /// outside so that an empty page has it as well.
    pub fn new(plan: &ResourcePlan, counted: &str, paged: &str, with_total: bool, types: Option<Vec<Type>>) -> Self {
        let root = plan.tables.first().map_or("\"dms\".\"Descriptor\"", |table| table.qualified.as_str());
        let total =
            if with_total { format!("(SELECT count(*) FROM {root} r{counted})") } else { "NULL::int8".to_owned() };
        let sql = PAGE.replace("{total}", &total).replace("{root}", root).replace("{paged}", paged);
        Self { sql, types }
    }

    /// Reads the page. `parameters` are [`PAGING_PARAMETERS`] and those of the filters.
    ///
    /// Clients choose which fields they combine, so only the unfiltered statement of a type stays prepared: otherwise
    /// the number of a connection's prepared statements would be unbounded.
    pub async fn run<C: GenericClient>(
        &self,
        client: &C,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<PageRows, StoreError> {
        let statement = match &self.types {
            None => client.prepare_cached(&self.sql).await?,
            Some(types) => {
                let types = [[Type::INT8; PAGING_PARAMETERS].as_slice(), types].concat();
                client.prepare_typed(&self.sql, &types).await?
            }
        };
        let rows = client.query(&statement, parameters).await?;
        let mut page = PageRows { documents: Vec::with_capacity(rows.len()), total: None };
        let Some(first) = rows.first() else { return Ok(page) };
        page.total = first.try_get("Total")?;
        let document_id = column_index(first, "DocumentId")?;
        let columns = DocumentBody::columns(first)?;
        for row in rows {
            // A total without documents is a row of its own. Each row is freed once it is read.
            if row.try_get::<_, Option<i64>>(document_id)?.is_some() {
                page.documents.push(DocumentBody::from_row(&row, &columns)?);
            }
        }
        Ok(page)
    }
}
