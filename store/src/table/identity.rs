//! `dms.ReferentialIdentity`: identities and the ReferentialIds that are hashed from them.

use crate::connect::GenericClient;
use millstream_schema::plan::ResourceKeyId;
use uuid::Uuid;

use super::query::{query_cached, read_rows, row_struct, sql};
use crate::error::StoreError;
use crate::transaction::pipeline::{Param, Pipeline, StatementRef, params};

const INSERT: &str = sql!("identity_insert.sql");
const DELETE: &str = sql!("identity_delete.sql");
const VALUES_OF_TYPE: &str = sql!("identity_values_of_type.sql");
const VALUES_OF_OWN_TYPE: &str = sql!("identity_values_of_own_type.sql");
/// The row of the document's own type; its alias under an abstract type repeats the values. The sub-select hides the
/// length of the array from the planner, which would otherwise plan every call separately.
const VALUES_EXCEPT_TYPES: &str = sql!("identity_values_except_types.sql");
const ROWS: &str = sql!("identity_rows.sql");
const HOLDERS: &str = sql!("identity_holders.sql");

/// A row to insert.
#[derive(Debug, Clone)]
pub struct NewIdentity {
    /// The hash of type and values.
    pub referential_id: Uuid,
    /// The document.
    pub document_id: i64,
    /// The type under which the document is found by it.
    pub key: ResourceKeyId,
    /// The values, in `identityJsonPaths` order.
    pub values: Vec<String>,
}

/// Adds the insert of rows.
pub fn insert(pipeline: &mut Pipeline<'_>, rows: Vec<NewIdentity>) {
    pipeline.execute(INSERT, insert_params(rows));
}

/// Rows as the parameters of an insert, in key order so that two transactions conflict in one order.
pub(crate) fn insert_params(mut rows: Vec<NewIdentity>) -> Vec<Param> {
    rows.sort_by_key(|row| row.referential_id);
    let values: Vec<String> = rows.iter().map(|row| array_literal(&row.values)).collect();
    let ids: Vec<Uuid> = rows.iter().map(|row| row.referential_id).collect();
    let documents: Vec<i64> = rows.iter().map(|row| row.document_id).collect();
    let keys: Vec<i16> = rows.iter().map(|row| row.key).collect();
    params![ids, documents, keys, values]
}

/// Adds the deletion of all rows of these documents.
pub fn delete(pipeline: &mut Pipeline<'_>, document_ids: Vec<i64>) {
    pipeline.execute(DELETE, params![document_ids]);
}

row_struct! {
    /// A document's identity, as the writer stored it.
    #[derive(Debug, Clone)]
    pub struct DocumentIdentity {
        /// The document.
        pub document_id: i64 = "DocumentId",
        /// The values, in `identityJsonPaths` order.
        pub values: Vec<String> = "IdentityValues",
    }
}

/// Adds the identities of these documents under one type.
pub fn values_of_type(
    pipeline: &mut Pipeline<'_>,
    document_ids: Vec<i64>,
    key: ResourceKeyId,
) -> StatementRef<DocumentIdentity> {
    pipeline.add(VALUES_OF_TYPE, params![document_ids, key])
}

/// Adds the identities of these documents, each under its document's own type.
pub fn values_of_own_type(pipeline: &mut Pipeline<'_>, document_ids: Vec<i64>) -> StatementRef<DocumentIdentity> {
    pipeline.add(VALUES_OF_OWN_TYPE, params![document_ids])
}

row_struct! {
    /// A document's identity as it stands in the row, damage included.
    #[derive(Debug)]
    pub struct StoredValues {
        /// The document.
        pub document_id: i64 = "DocumentId",
        /// The values; a NULL is damage.
        pub values: Vec<Option<Box<str>>> = "IdentityValues",
    }
}

/// Reads the identities of these documents, except rows under one of the types `except` (the abstract ones).
pub async fn values_except_types<C: GenericClient>(
    client: &C,
    document_ids: &[i64],
    except: &[ResourceKeyId],
) -> Result<Vec<StoredValues>, StoreError> {
    read_rows(&query_cached(client, VALUES_EXCEPT_TYPES, &[&document_ids, &except]).await?)
}

row_struct! {
    /// A whole row.
    #[derive(Debug)]
    pub struct StoredIdentity {
        /// The document.
        pub document_id: i64 = "DocumentId",
        /// The type under which the document is found by it.
        pub key: ResourceKeyId = "ResourceKeyId",
        /// The hash of type and values.
        pub referential_id: Uuid = "ReferentialId",
        /// The values; a NULL is damage.
        pub values: Vec<Option<String>> = "IdentityValues",
    }
}

/// Reads all rows of these documents.
pub async fn rows<C: GenericClient>(client: &C, document_ids: &[i64]) -> Result<Vec<StoredIdentity>, StoreError> {
    read_rows(&query_cached(client, ROWS, &[&document_ids]).await?)
}

row_struct! {
    /// A document that has a ReferentialId.
    #[derive(Debug, Clone, Copy)]
    pub struct IdentityHolder {
        /// The document.
        pub document_id: i64 = "DocumentId",
        /// The hash of type and values.
        pub referential_id: Uuid = "ReferentialId",
    }
}

/// Reads which documents other than `except` have one of these ReferentialIds.
pub async fn holders<C: GenericClient>(
    client: &C,
    referential_ids: &[Uuid],
    except: &[i64],
) -> Result<Vec<IdentityHolder>, StoreError> {
    read_rows(&query_cached(client, HOLDERS, &[&referential_ids, &except]).await?)
}

/// `{"a","b"}`: `unnest` cannot take arrays of arrays of different lengths apart.
fn array_literal(values: &[String]) -> String {
    let mut out = String::from("{");
    for (at, value) in values.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        out.push('"');
        for c in value.chars() {
            if matches!(c, '"' | '\\') {
                out.push('\\');
            }
            out.push(c);
        }
        out.push('"');
    }
    out.push('}');
    out
}

#[cfg(test)]
mod tests {
    use super::array_literal;

    #[test]
    fn array_literals_escape_quotes_and_backslashes() {
        let values = ["plain", "a \"b\"", "c:\\d", "", "{x,y}"].map(str::to_owned);
        assert_eq!(array_literal(&values), r#"{"plain","a \"b\"","c:\\d","","{x,y}"}"#);
    }
}
