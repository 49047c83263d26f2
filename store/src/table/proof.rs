//! A temporary table with the contents of a sink, for comparing it with the cache in bounded memory.
//!
//! [`SinkCopyWriter`] fills the table, [`SinkCopy`] reads it. Both own the session that the table belongs to.

use super::query::{read_rows, row_struct, sql};
use crate::connect::{Client, Database};
use crate::error::StoreError;
use std::fmt;
use std::pin::Pin;
use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

const CREATE_SQL: &str = sql!("ddl/proof_create.sql");
const COPY_SQL: &str = r#"COPY pg_temp."Held" FROM STDIN BINARY"#;
const COLUMNS: [Type; 5] = [Type::INT8, Type::UUID, Type::INT8, Type::INT2, Type::BYTEA];
const INDEX_SQL: &str = sql!("ddl/proof_index.sql");
const PAGE_SQL: &str = sql!("proof_page.sql");
const DROP_SQL: &str = r#"DROP TABLE pg_temp."Held""#;

row_struct! {
    /// A document as a sink holds it, reduced to a version and a digest.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct SinkDocument {
        /// The public id.
        pub uuid: Uuid = "Uuid",
        /// Its version, where the sink knows it.
        pub version: Option<i64> = "Version",
        /// `ResourceKeyId` of its type, where the sink knows it.
        pub resource_key: Option<i16> = "ResourceKey",
        /// Digest of its bytes; `None` if the sink holds it as deleted.
        pub digest: Option<Vec<u8>> = "Digest",
    }
}

/// Fills the table.
pub struct SinkCopyWriter {
    // Dropped before the session returns to its pool: this ends the COPY.
    rows: Pin<Box<BinaryCopyInWriter>>,
    client: Client,
    written: i64,
}

impl SinkCopyWriter {
    /// Creates the table in a session of its own.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn create(database: &Database) -> Result<Self, StoreError> {
        let client = database.get().await?;
        client.batch_execute(CREATE_SQL).await?;
        let copy = client.copy_in(COPY_SQL).await?;
        Ok(Self { rows: Box::pin(BinaryCopyInWriter::new(copy, &COLUMNS)), client, written: 0 })
    }

    /// Adds a document. Of several rows with one public id the last one counts.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn write(&mut self, document: &SinkDocument) -> Result<(), StoreError> {
        let SinkDocument { uuid, version, resource_key, digest } = document;
        let row: [&(dyn ToSql + Sync); 5] = [&self.written, uuid, version, resource_key, digest];
        self.rows.as_mut().write(&row).await?;
        self.written += 1;
        Ok(())
    }

    /// Returns the number of rows written.
    #[must_use]
    pub const fn written(&self) -> u64 {
        self.written.unsigned_abs()
    }

    /// Completes and indexes the table.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn finish(mut self) -> Result<SinkCopy, StoreError> {
        self.rows.as_mut().finish().await?;
        self.client.batch_execute(INDEX_SQL).await?;
        Ok(SinkCopy { client: self.client })
    }
}

impl fmt::Debug for SinkCopyWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SinkCopyWriter").field("written", &self.written).finish_non_exhaustive()
    }
}

/// The contents of a sink when it was read.
pub struct SinkCopy {
    client: Client,
}

impl SinkCopy {
    /// Returns up to `limit` documents with a public id above `after` and at most `to`, ascending.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn page(&self, after: Uuid, to: Uuid, limit: i64) -> Result<Vec<SinkDocument>, StoreError> {
        read_rows(&self.client.query(PAGE_SQL, &[&after, &to, &limit]).await?)
    }

    /// Drops the table; the session returns to its pool.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn drop_table(self) -> Result<(), StoreError> {
        Ok(self.client.batch_execute(DROP_SQL).await?)
    }
}

impl fmt::Debug for SinkCopy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SinkCopy").finish_non_exhaustive()
    }
}
