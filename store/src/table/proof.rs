//! A temporary table with the contents of a sink, for comparing it with the cache in bounded memory.
//!
//! [`SinkCopyWriter`] fills the table, [`SinkCopy`] reads it. Both own the session that the table belongs to.

use super::query::{read_rows, row_struct, sql};
use crate::connect::{Database, Session};
use crate::error::StoreError;
use std::fmt;
use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

const CREATE_SQL: &str = sql!("ddl/proof_create.sql");
const COPY_SQL: &str = r#"COPY pg_temp."Held" FROM STDIN BINARY"#;
const COLUMNS: [Type; 5] = [Type::INT8, Type::UUID, Type::INT8, Type::INT2, Type::BYTEA];
const INDEX_SQL: &str = sql!("ddl/proof_index.sql");
const PAGE_SQL: &str = sql!("proof_page.sql");

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
///
/// The table belongs to a session outside the pool, which ends with it: a comparison that fails or is cancelled leaves
/// nothing behind. Every write is a transaction of its own. Reading a sink takes minutes; a transaction that lasted as
/// long would hold back `pg_snapshot_xmin`, below which the polling source reads, and vacuum.
pub struct SinkCopyWriter {
    session: Session,
    written: u64,
}

impl SinkCopyWriter {
    /// Creates the table in a session of its own.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn create(database: &Database) -> Result<Self, StoreError> {
        let session = Session::open(database.options()).await?;
        session.batch_execute(CREATE_SQL).await?;
        Ok(Self { session, written: 0 })
    }

    /// Adds documents. Of several rows with one public id the last one counts.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn write(&mut self, documents: &[SinkDocument]) -> Result<(), StoreError> {
        let copy = self.session.copy_in(COPY_SQL).await?;
        let mut rows = std::pin::pin!(BinaryCopyInWriter::new(copy, &COLUMNS));
        for SinkDocument { uuid, version, resource_key, digest } in documents {
            let ordinal = self.written.cast_signed();
            let row: [&(dyn ToSql + Sync); 5] = [&ordinal, uuid, version, resource_key, digest];
            rows.as_mut().write(&row).await?;
            self.written += 1;
        }
        rows.as_mut().finish().await?;
        Ok(())
    }

    /// Returns the number of rows written.
    #[must_use]
    pub const fn written(&self) -> u64 {
        self.written
    }

    /// Indexes the table.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn finish(self) -> Result<SinkCopy, StoreError> {
        self.session.batch_execute(INDEX_SQL).await?;
        Ok(SinkCopy { session: self.session })
    }
}

impl fmt::Debug for SinkCopyWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SinkCopyWriter").field("written", &self.written).finish_non_exhaustive()
    }
}

/// The contents of a sink when it was read. Dropping it drops the table with its session.
pub struct SinkCopy {
    session: Session,
}

impl SinkCopy {
    /// Returns up to `limit` documents with a public id above `after` and at most `to`, ascending.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn page(&self, after: Uuid, to: Uuid, limit: i64) -> Result<Vec<SinkDocument>, StoreError> {
        read_rows(&self.session.query(PAGE_SQL, &[&after, &to, &limit]).await?)
    }
}

impl fmt::Debug for SinkCopy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SinkCopy").finish_non_exhaustive()
    }
}
