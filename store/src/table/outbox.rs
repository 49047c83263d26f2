//! `dms.Outbox`: appending and reading change records. The crate `millstream-outbox` says what they mean.

use crate::connect::GenericClient;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::query::{FromRow, column_index, read_rows, row_struct, sql};
use crate::error::StoreError;
use crate::transaction::pipeline::{Pipeline, params};
use crate::xid::Xid8;

const APPEND: &str = sql!("outbox_append.sql");
const BEFORE_HORIZON: &str = sql!("outbox_before_horizon.sql");
const NOT_IN_SNAPSHOT: &str = sql!("outbox_not_in_snapshot.sql");
const HORIZON: &str = sql!("outbox_horizon.sql");
const BEHIND_COMMITTED: &str = sql!("outbox_behind_committed.sql");

/// Rows to append, column by column.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewOutboxRows {
    document_ids: Vec<i64>,
    document_uuids: Vec<Uuid>,
    resource_keys: Vec<i16>,
    kinds: Vec<&'static str>,
    content_versions: Vec<i64>,
}

impl NewOutboxRows {
    /// Adds a row.
    pub fn push(&mut self, document_id: i64, uuid: Uuid, key: i16, kind: &'static str, content_version: i64) {
        self.document_ids.push(document_id);
        self.document_uuids.push(uuid);
        self.resource_keys.push(key);
        self.kinds.push(kind);
        self.content_versions.push(content_version);
    }

    /// The number of rows.
    pub fn len(&self) -> usize {
        self.document_ids.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.document_ids.is_empty()
    }
}

/// Adds the append of rows, in their order.
pub fn add(pipeline: &mut Pipeline<'_>, rows: NewOutboxRows) {
    let NewOutboxRows { document_ids, document_uuids, resource_keys, kinds, content_versions } = rows;
    pipeline.execute(APPEND, params![document_ids, document_uuids, resource_keys, kinds, content_versions]);
}

/// Appends rows in their order; returns how many were written.
pub async fn append<C: GenericClient>(client: &C, rows: &NewOutboxRows) -> Result<u64, StoreError> {
    let params: [&(dyn ToSql + Sync); 5] =
        [&rows.document_ids, &rows.document_uuids, &rows.resource_keys, &rows.kinds, &rows.content_versions];
    client.execute(APPEND, &params).await
}

row_struct! {
    /// A row of the outbox.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct OutboxRow {
        /// Drawn before the commit, so not in order of commits.
        pub outbox_id: i64 = "OutboxId",
        /// The transaction that wrote it.
        pub transaction_id: Xid8 = "TransactionId",
        /// The document.
        pub document_id: i64 = "DocumentId",
        /// The public id.
        pub document_uuid: Uuid = "DocumentUuid",
        /// Its resource type.
        pub resource_key: i16 = "ResourceKeyId",
        /// `upsert`, `identity`, `delete` or `touch`.
        pub kind: String = "Kind",
        /// The version that the change gave the document.
        pub content_version: i64 = "ContentVersion",
    }
}

/// A row of [`before_horizon`]: without a row of the outbox if there was none.
#[derive(Debug)]
pub struct HorizonRow {
    /// The oldest transaction that still ran.
    pub horizon: Xid8,
    /// The row of the outbox.
    pub row: Option<OutboxRow>,
}

/// The columns of a [`HorizonRow`].
#[derive(Debug)]
pub struct HorizonColumns {
    horizon: usize,
    outbox_id: usize,
    row: <OutboxRow as FromRow>::Columns,
}

impl FromRow for HorizonRow {
    type Columns = HorizonColumns;

    fn columns(row: &Row) -> Result<Self::Columns, StoreError> {
        Ok(HorizonColumns {
            horizon: column_index(row, "Horizon")?,
            outbox_id: column_index(row, "OutboxId")?,
            row: OutboxRow::columns(row)?,
        })
    }

    fn from_row(row: &Row, columns: &Self::Columns) -> Result<Self, StoreError> {
        let exists = row.try_get::<_, Option<i64>>(columns.outbox_id)?.is_some();
        let outbox_row = if exists { Some(OutboxRow::from_row(row, &columns.row)?) } else { None };
        Ok(Self { horizon: row.try_get(columns.horizon)?, row: outbox_row })
    }
}

/// Reads up to `limit` rows of transactions before the horizon, behind (`transaction_id`, `outbox_id`) in that order.
pub async fn before_horizon<C: GenericClient>(
    client: &C,
    transaction_id: Xid8,
    outbox_id: i64,
    limit: i64,
) -> Result<Vec<HorizonRow>, StoreError> {
    read_rows(&client.query(BEFORE_HORIZON, &[&transaction_id, &outbox_id, &limit]).await?)
}

/// Reads up to `limit` rows that `snapshot` cannot see, behind the id `after`, in order of their ids.
pub async fn not_in_snapshot<C: GenericClient>(
    client: &C,
    snapshot: &str,
    after: i64,
    limit: i64,
) -> Result<Vec<OutboxRow>, StoreError> {
    read_rows(&client.query(NOT_IN_SNAPSHOT, &[&snapshot, &after, &limit]).await?)
}

/// Reads the oldest transaction that still runs.
pub async fn horizon<C: GenericClient>(client: &C) -> Result<Xid8, StoreError> {
    Ok(client.query_one(HORIZON, &[]).await?.try_get("TransactionId")?)
}

/// Reads the transaction id behind every transaction that is committed and visible.
pub async fn behind_committed<C: GenericClient>(client: &C) -> Result<Xid8, StoreError> {
    Ok(client.query_one(BEHIND_COMMITTED, &[]).await?.try_get("TransactionId")?)
}
