//! Columns and indexes of the `dms` tables that databases of earlier versions do not have.
//!
//! `sql/dms.sql` creates everything that a new database has. What was added to it since the first release is listed here
//! as well, in order: columns with a default or nullable, so that adding one rewrites no table, and indexes.

use tokio_postgres::Client;

use crate::error::StoreError;

/// An object that was added to a table.
struct Added {
    table: &'static str,
    /// Name of the column or index.
    name: &'static str,
    kind: Kind,
}

enum Kind {
    /// A column with this definition.
    Column(&'static str),
    /// An index on this list of columns.
    Index(&'static str),
}

/// All added objects, in order.
const ADDED: [Added; 5] = [
    Added { table: "ProjectionProgress", name: "Term", kind: Kind::Column("bigint NOT NULL DEFAULT 0") },
    Added { table: "ProjectionProgress", name: "Stream", kind: Kind::Column("text") },
    Added { table: "Tombstone", name: "IX_Tombstone_DeletedAt", kind: Kind::Index(r#"("DeletedAt")"#) },
    Added { table: "EffectiveSchema", name: "History", kind: Kind::Column("bigint NOT NULL DEFAULT 0") },
    Added { table: "ProjectionProgress", name: "History", kind: Kind::Column("bigint NOT NULL DEFAULT 0") },
];

const COLUMN_SQL: &str = "SELECT EXISTS (SELECT FROM pg_attribute a
    JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = 'dms' AND c.relname = $1 AND a.attname = $2 AND NOT a.attisdropped) AS exists";

const INDEX_SQL: &str = "SELECT EXISTS (SELECT FROM pg_index i
    JOIN pg_class c ON c.oid = i.indrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_class x ON x.oid = i.indexrelid
    WHERE n.nspname = 'dms' AND c.relname = $1 AND x.relname = $2) AS exists";

impl Added {
    /// The name for messages.
    fn path(&self) -> String {
        format!(r#""dms"."{}"."{}""#, self.table, self.name)
    }

    async fn exists(&self, client: &Client) -> Result<bool, StoreError> {
        let sql = match self.kind {
            Kind::Column(_) => COLUMN_SQL,
            Kind::Index(_) => INDEX_SQL,
        };
        Ok(client.query_one(sql, &[&self.table, &self.name]).await?.try_get("exists")?)
    }

    fn statement(&self) -> String {
        let Self { table, name, kind } = self;
        match kind {
            Kind::Column(definition) => {
                format!(r#"ALTER TABLE "dms"."{table}" ADD COLUMN IF NOT EXISTS "{name}" {definition}"#)
            }
            Kind::Index(columns) => format!(r#"CREATE INDEX IF NOT EXISTS "{name}" ON "dms"."{table}" {columns}"#),
        }
    }
}

/// Names of the missing columns and indexes.
pub(super) async fn missing(client: &Client) -> Result<Vec<String>, StoreError> {
    let mut missing = Vec::new();
    for added in &ADDED {
        if !added.exists(client).await? {
            missing.push(added.path());
        }
    }
    Ok(missing)
}

/// Adds the missing columns and indexes. Existing ones are neither changed nor locked; an index that is missing blocks
/// writes to its table while it is built.
pub(super) async fn add_missing(client: &Client) -> Result<(), StoreError> {
    for added in &ADDED {
        if !added.exists(client).await? {
            client.batch_execute(&added.statement()).await?;
        }
    }
    Ok(())
}
