//! What a sink holds, in a temporary table: of each document the version and a digest of its bytes, in the order in which
//! the sink told them.

use super::ProofError;
use crate::error::ProjectorError;
use millstream_pipeline::sink::{self, Content, Sink};
use millstream_store::compose::body_hash;
use millstream_store::connect::{Client, Database};
use std::pin::pin;
use tokio_postgres::Row;
use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

const ACTION: &str = "keeping what a sink holds for the comparison";

const MAKE_SQL: &str = r#"
DROP TABLE IF EXISTS pg_temp."Held";
CREATE TEMPORARY TABLE "Held" ("Ordinal" bigint NOT NULL, "Uuid" uuid NOT NULL, "Version" bigint, "ResourceKey" smallint, "Digest" bytea)"#;

const COPY_SQL: &str = r#"COPY pg_temp."Held" FROM STDIN BINARY"#;

const COLUMNS: [Type; 5] = [Type::INT8, Type::UUID, Type::INT8, Type::INT2, Type::BYTEA];

const READY_SQL: &str = r#"CREATE INDEX ON pg_temp."Held" ("Uuid", "Ordinal"); ANALYZE pg_temp."Held""#;

const FORGET_SQL: &str = r#"DROP TABLE pg_temp."Held""#;

/// A document can come more than once: the last one counts.
const PAGE_SQL: &str = r#"
SELECT DISTINCT ON ("Uuid") "Uuid", "Version", "ResourceKey", "Digest" FROM pg_temp."Held"
WHERE "Uuid" > $1::uuid AND "Uuid" <= $2::uuid ORDER BY "Uuid", "Ordinal" DESC LIMIT $3::int8"#;

/// What a sink held when it was read.
pub(super) struct Held {
    /// The session that the table belongs to.
    client: Client,
}

/// What it held of one document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HeldRow {
    pub(super) uuid: Uuid,
    pub(super) version: Option<i64>,
    /// Where the sink knows it.
    pub(super) resource_key: Option<i16>,
    /// None for a document that it knows as deleted.
    pub(super) digest: Option<Vec<u8>>,
}

impl Held {
    /// Reads the whole sink.
    pub(super) async fn collect(
        database: &Database,
        sink: &dyn Sink,
        progress: &mut (dyn FnMut(u64) + Send),
    ) -> Result<Self, ProofError> {
        let client = database.get().await.map_err(ProjectorError::database(ACTION))?;
        client.batch_execute(MAKE_SQL).await.map_err(ProjectorError::database(ACTION))?;
        let copy = client.copy_in(COPY_SQL).await.map_err(ProjectorError::database(ACTION))?;
        let mut rows = pin!(BinaryCopyInWriter::new(copy, &COLUMNS));
        let mut scan = sink.scan().await?;
        let mut ordinal = 0_i64;
        loop {
            let page = scan.next().await?;
            if page.is_empty() {
                break;
            }
            for sink::Held { uuid, version, resource_key, content } in page {
                let digest = match &content {
                    Content::Document(json) => Some(body_hash(json).to_vec()),
                    Content::Deleted => None,
                };
                let row: [&(dyn ToSql + Sync); 5] = [&ordinal, &uuid, &version, &resource_key, &digest];
                rows.as_mut().write(&row).await.map_err(ProjectorError::database(ACTION))?;
                ordinal += 1;
            }
            progress(ordinal as u64);
        }
        rows.finish().await.map_err(ProjectorError::database(ACTION))?;
        client.batch_execute(READY_SQL).await.map_err(ProjectorError::database(ACTION))?;
        Ok(Self { client })
    }

    /// What it held of the first `max` documents after `from`, up to `to`.
    pub(super) async fn page(&self, from: Uuid, to: Uuid, max: i64) -> Result<Vec<HeldRow>, ProjectorError> {
        let rows = self.client.query(PAGE_SQL, &[&from, &to, &max]).await.map_err(ProjectorError::database(ACTION))?;
        let read = |row: &Row| {
            let (uuid, version, resource_key) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
            Ok(HeldRow { uuid, version, resource_key, digest: row.try_get(3)? })
        };
        rows.iter().map(read).collect::<Result<_, tokio_postgres::Error>>().map_err(ProjectorError::database(ACTION))
    }

    /// Gives the table back.
    pub(super) async fn forget(self) -> Result<(), ProjectorError> {
        self.client.batch_execute(FORGET_SQL).await.map_err(ProjectorError::database(ACTION))
    }
}
