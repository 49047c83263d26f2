//! Statements of the audit that look at whole tables, or at several.

use crate::connect::GenericClient;
use jiff::Timestamp;
use millstream_schema::plan::{ResourceKeyId, ResourcePlan};
use uuid::Uuid;

use super::query::{query_cached, read_rows, row_struct, sql};
use crate::error::StoreError;

const CACHED_BODIES: &str = sql!("audit_cached_bodies.sql");
const CACHED_HEADS: &str = sql!("cached_heads.sql");
const MISPLACED_ROWS: &str = sql!("audit_misplaced_rows.sql");
const ROWS_WITHOUT_DOCUMENT: &str = sql!("audit_rows_without_document.sql");

/// Shared tables with a row per document, and the column that names it.
pub const SHARED_TABLES: [(&str, &str); 5] = [
    (r#""dms"."ReferentialIdentity""#, "DocumentId"),
    (r#""dms"."ReferenceEdge""#, "ParentDocumentId"),
    (r#""dms"."IdentityLock""#, "DocumentId"),
    (r#""dms"."DocumentCache""#, "DocumentId"),
    (r#""dms"."Descriptor""#, "DocumentId"),
];

row_struct! {
    /// A row of `dms.DocumentCache`.
    #[derive(Debug)]
    pub struct CachedBody {
        /// The document.
        pub document_id: i64 = "DocumentId",
        /// The version of the body.
        pub version: i64 = "ContentVersion",
        /// The public id.
        pub uuid: Uuid = "DocumentUuid",
        /// Its resource type.
        pub key: ResourceKeyId = "ResourceKeyId",
        /// When the version came to be.
        pub last_modified: Timestamp = "LastModifiedAt",
        /// Size of the body.
        pub bytes: i64 = "BodyBytes",
        /// The body; `None` if it did not fit.
        pub body: Option<String> = "Body",
        /// The hash of the body.
        pub hash: Option<Vec<u8>> = "BodyHash",
    }
}

/// Reads the cached bodies of these documents, in the order of their ids, bodies as long as all together have at most
/// `bytes_max` bytes.
pub async fn cached_bodies<C: GenericClient>(
    client: &C,
    ids: &[i64],
    bytes_max: usize,
) -> Result<Vec<CachedBody>, StoreError> {
    let bytes_max = i64::try_from(bytes_max).unwrap_or(i64::MAX);
    read_rows(&query_cached(client, CACHED_BODIES, &[&ids, &bytes_max]).await?)
}

row_struct! {
    /// A row of `dms.DocumentCache` without its body.
    #[derive(Debug, Clone)]
    pub struct CachedHead {
        /// The document.
        pub document_id: i64 = "DocumentId",
        /// The version of the body.
        pub version: i64 = "ContentVersion",
        /// The public id.
        pub uuid: Uuid = "DocumentUuid",
        /// Its resource type.
        pub key: ResourceKeyId = "ResourceKeyId",
        /// When the version came to be.
        pub last_modified: Timestamp = "LastModifiedAt",
    }
}

/// Reads the cached rows of these documents without their bodies.
pub async fn cached_heads<C: GenericClient>(client: &C, ids: &[i64]) -> Result<Vec<CachedHead>, StoreError> {
    read_rows(&query_cached(client, CACHED_HEADS, &[&ids]).await?)
}

row_struct! {
    /// A row in the root table of another type than its document's.
    #[derive(Debug, Clone, Copy)]
    pub struct MisplacedRow {
        /// The public id of the document.
        pub uuid: Uuid = "DocumentUuid",
        /// The document's type.
        pub key: ResourceKeyId = "ResourceKeyId",
    }
}

/// Reads up to `limit` rows of a type's root table whose documents are of another type. It reads the whole table.
pub async fn misplaced_rows<C: GenericClient>(
    client: &C,
    plan: &ResourcePlan,
    limit: i64,
) -> Result<Vec<MisplacedRow>, StoreError> {
    let Some(table) = plan.tables.first() else { return Ok(Vec::new()) };
    let key = if plan.is_descriptor { r#"r."ResourceKeyId""#.to_owned() } else { format!("{}::int2", plan.key) };
    let sql = MISPLACED_ROWS
        .replace("{root}", &table.qualified)
        .replace("{resource_key}", &key)
        .replace("{limit}", &limit.to_string());
    // Not kept prepared: it runs once.
    read_rows(&client.query(sql.as_str(), &[]).await?)
}

row_struct! {
    /// Rows that belong to a document that does not exist.
    #[derive(Debug, Clone)]
    pub struct RowsWithoutDocument {
        /// The table, quoted.
        pub table: String = "Table",
        /// The document.
        pub document_id: i64 = "DocumentId",
        /// The number of rows.
        pub rows: i64 = "Rows",
    }
}

/// Reads up to `limit` groups of rows that belong to no document, from these tables (quoted name, column that names the
/// document). It reads the whole tables.
pub async fn rows_without_document<C: GenericClient>(
    client: &C,
    tables: &[(&str, &str)],
    limit: i64,
) -> Result<Vec<RowsWithoutDocument>, StoreError> {
    let of_table = |(table, column): &(&str, &str)| {
        ROWS_WITHOUT_DOCUMENT
            .replace("{table_literal}", &table.replace('\'', "''"))
            .replace("{table}", table)
            .replace("{column}", &column.replace('"', "\"\""))
    };
    let parts: Vec<String> = tables.iter().map(of_table).collect();
    let sql = format!("{} ORDER BY 1, 2 LIMIT {limit}", parts.join(" UNION ALL "));
    // Not kept prepared: it runs once.
    read_rows(&client.query(sql.as_str(), &[]).await?)
}
