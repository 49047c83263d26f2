//! Columns of the `dms` tables that databases of earlier versions do not have.
//!
//! `sql/dms.sql` is the whole of what a new database gets. What was added to it since the first release is here as well,
//! in the order in which it came, each with a default or nullable, so that adding it rewrites no table.

use tokio_postgres::Client;

use crate::error::StoreError;

/// A column that was added to a table.
struct Added {
    table: &'static str,
    column: &'static str,
    definition: &'static str,
}

/// All of them.
const ADDED: [Added; 2] = [
    Added { table: "ProjectionProgress", column: "Term", definition: "bigint NOT NULL DEFAULT 0" },
    Added { table: "ProjectionProgress", column: "Stream", definition: "text" },
];

const COLUMN_SQL: &str = "SELECT EXISTS (SELECT FROM pg_attribute a
    JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = 'dms' AND c.relname = $1 AND a.attname = $2 AND NOT a.attisdropped)";

impl Added {
    fn name(&self) -> String {
        format!(r#""dms"."{}"."{}""#, self.table, self.column)
    }

    async fn is_there(&self, client: &Client) -> Result<bool, StoreError> {
        Ok(client.query_one(COLUMN_SQL, &[&self.table, &self.column]).await?.try_get(0)?)
    }
}

/// The columns that are not there, by their names.
pub(super) async fn missing(client: &Client) -> Result<Vec<String>, StoreError> {
    let mut missing = Vec::new();
    for added in &ADDED {
        if !added.is_there(client).await? {
            missing.push(added.name());
        }
    }
    Ok(missing)
}

/// Adds those that are not there. What is there is not touched, nor locked.
pub(super) async fn add_missing(client: &Client) -> Result<(), StoreError> {
    for added in &ADDED {
        if !added.is_there(client).await? {
            let Added { table, column, definition } = added;
            let sql = format!(r#"ALTER TABLE "dms"."{table}" ADD COLUMN IF NOT EXISTS "{column}" {definition}"#);
            client.batch_execute(&sql).await?;
        }
    }
    Ok(())
}
