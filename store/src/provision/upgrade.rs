//! Columns of the `dms` tables that databases of earlier versions do not have.
//!
//! `sql/dms.sql` creates everything that a new database has. Columns added to it since the first release are listed
//! here as well, in order, each with a default or nullable, so that adding it rewrites no table.

use tokio_postgres::Client;

use crate::error::StoreError;

/// A column that was added to a table.
struct Added {
    table: &'static str,
    column: &'static str,
    definition: &'static str,
}

/// All added columns, in order.
const ADDED: [Added; 2] = [
    Added { table: "ProjectionProgress", column: "Term", definition: "bigint NOT NULL DEFAULT 0" },
    Added { table: "ProjectionProgress", column: "Stream", definition: "text" },
];

const COLUMN_SQL: &str = "SELECT EXISTS (SELECT FROM pg_attribute a
    JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = 'dms' AND c.relname = $1 AND a.attname = $2 AND NOT a.attisdropped) AS exists";

impl Added {
    fn name(&self) -> String {
        format!(r#""dms"."{}"."{}""#, self.table, self.column)
    }

    async fn exists(&self, client: &Client) -> Result<bool, StoreError> {
        Ok(client.query_one(COLUMN_SQL, &[&self.table, &self.column]).await?.try_get("exists")?)
    }
}

/// Names of the missing columns.
pub(super) async fn missing(client: &Client) -> Result<Vec<String>, StoreError> {
    let mut missing = Vec::new();
    for added in &ADDED {
        if !added.exists(client).await? {
            missing.push(added.name());
        }
    }
    Ok(missing)
}

/// Adds the missing columns. Existing ones are neither changed nor locked.
pub(super) async fn add_missing(client: &Client) -> Result<(), StoreError> {
    for added in &ADDED {
        if !added.exists(client).await? {
            let Added { table, column, definition } = added;
            let sql = format!(r#"ALTER TABLE "dms"."{table}" ADD COLUMN IF NOT EXISTS "{column}" {definition}"#);
            client.batch_execute(&sql).await?;
        }
    }
    Ok(())
}
