//! How far a consumer has followed the outbox, kept in the database: from here it is read again if the slot or the
//! queue's disk is lost.
//!
//! The watermark is a pair (S, L): a snapshot S, and L, the end of the WAL read after it. Every transaction that S sees
//! has its commit record before L. So once everything up to L is durable here, everything that S sees is, and S may be
//! stored: what it cannot see is what recovery has to replay. A largest outbox id or version would be no watermark, for
//! ids and versions do not commit in order.

use std::fmt;
use std::time::Duration;

use tokio_postgres::GenericClient;
use tokio_postgres::types::{PgLsn, ToSql};
use uuid::Uuid;

use crate::OutboxError;
use crate::relay::FencingEpoch;
use millstream_pipeline::Position;
use millstream_pipeline::source::{SourceIdentity, Stream};

/// A `pg_snapshot`, as text: which transactions it sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot(String);

impl Snapshot {
    /// A snapshot in PostgreSQL's spelling, `xmin:xmax:xip,…`. The database checks it when it is used.
    #[must_use]
    pub const fn new(text: String) -> Self {
        Self(text)
    }

    /// The snapshot that sees exactly the transactions before `xid`.
    #[must_use]
    pub fn before_xid(xid: u64) -> Self {
        // PostgreSQL knows no transaction below 3, and refuses a snapshot that begins at 0.
        let xid = xid.max(3);
        Self(format!("{xid}:{xid}:"))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A snapshot and an end of the WAL that was read after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watermark {
    /// S.
    pub snapshot: Snapshot,
    /// L.
    pub lsn: u64,
}

impl Watermark {
    /// Reads one: S first, then L, each in a statement of its own.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn read<C: GenericClient + Sync>(client: &C) -> Result<Self, OutboxError> {
        const ACTION: &str = "reading a recovery watermark";
        let row = client.query_one("SELECT pg_current_snapshot()::text", &[]).await;
        let snapshot = row.and_then(|row| row.try_get(0)).map_err(OutboxError::database(ACTION))?;
        let row = client.query_one("SELECT pg_current_wal_insert_lsn()", &[]).await;
        let lsn: PgLsn = row.and_then(|row| row.try_get(0)).map_err(OutboxError::database(ACTION))?;
        Ok(Self { snapshot: Snapshot(snapshot), lsn: lsn.into() })
    }
}

/// Which server, database, queue and stream a row of `dms.ProjectionProgress` speaks of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The server and its history; transaction ids mean nothing in another.
    pub source: SourceIdentity,
    /// `dms.EffectiveSchema."DatabaseUuid"`.
    pub database: Uuid,
    /// The epoch of the queue that made the position durable.
    pub epoch: Uuid,
    /// What the position is a position in; none in a row of a version that knew only slots.
    pub stream: Option<Stream>,
}

impl Origin {
    /// Reads which server and database this is, for the queue with this epoch, filled from this stream.
    ///
    /// # Errors
    /// When the database refuses, or was never provisioned.
    pub async fn read<C: GenericClient + Sync>(client: &C, epoch: Uuid, stream: Stream) -> Result<Self, OutboxError> {
        const ACTION: &str = "reading which database this is";
        let source = crate::source_identity(client).await?;
        let row = client.query_opt(r#"SELECT "DatabaseUuid" FROM "dms"."EffectiveSchema""#, &[]).await;
        let row = row.map_err(OutboxError::database(ACTION))?.ok_or_else(|| {
            OutboxError::State(r#"dms."EffectiveSchema" has no database uuid: apply the schema first"#.to_owned())
        })?;
        let database = row.try_get(0).map_err(OutboxError::database(ACTION))?;
        Ok(Self { source, database, epoch, stream: Some(stream) })
    }
}

/// A row of `dms.ProjectionProgress`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// How far the consumer's durable position was.
    pub position: Position,
    /// What recovery need not replay, if it was ever established.
    pub watermark: Option<Watermark>,
    /// Where position and watermark belong.
    pub origin: Origin,
}

/// Reads a consumer's progress, `None` if it never stored any.
///
/// # Errors
/// When the database refuses, or the row was written by something else.
pub async fn load<C: GenericClient + Sync>(client: &C, consumer: &str) -> Result<Option<Progress>, OutboxError> {
    const ACTION: &str = "reading the progress of a consumer";
    let row = client
        .query_opt(
            r#"
SELECT "Position", "WatermarkSnapshot"::text, "WatermarkLsn", "SystemIdentifier", "Timeline", "DatabaseUuid", "Epoch",
       "Stream"
  FROM "dms"."ProjectionProgress" WHERE "Consumer" = $1::text"#,
            &[&consumer],
        )
        .await
        .map_err(OutboxError::database(ACTION))?;
    let Some(row) = row else { return Ok(None) };
    let field = |error| OutboxError::Database { action: ACTION, source: error };
    // A relay that has just taken over for the first time has stored nothing yet.
    let Some(position) = row.try_get::<_, Option<PgLsn>>(0).map_err(field)? else { return Ok(None) };
    let snapshot: Option<String> = row.try_get(1).map_err(field)?;
    let lsn: Option<PgLsn> = row.try_get(2).map_err(field)?;
    let source =
        SourceIdentity { system_identifier: row.try_get(3).map_err(field)?, timeline: row.try_get(4).map_err(field)? };
    let stream: Option<String> = row.try_get(7).map_err(field)?;
    Ok(Some(Progress {
        position: Position::before(position.into()),
        watermark: snapshot.zip(lsn).map(|(text, lsn)| Watermark { snapshot: Snapshot(text), lsn: lsn.into() }),
        origin: Origin {
            source,
            database: row.try_get(5).map_err(field)?,
            epoch: row.try_get(6).map_err(field)?,
            stream: stream.map(Stream::stored),
        },
    }))
}

/// Stores a consumer's progress. A watermark that is not known yet leaves the stored one, which stays true as long as the
/// origin does; under another origin it is taken away.
///
/// # Errors
/// When the database refuses.
pub async fn store<C: GenericClient + Sync>(
    client: &C,
    consumer: &str,
    progress: &Progress,
) -> Result<(), OutboxError> {
    write(client, consumer, None, progress).await.map(|_| ())
}

/// Stores a consumer's progress as [`store`] does, if `term` is still the one that may.
///
/// # Errors
/// [`OutboxError::TakenOver`] when another relay has taken over: nothing is stored then. When the database refuses.
pub async fn store_in_term<C: GenericClient + Sync>(
    client: &C,
    term: &FencingEpoch,
    progress: &Progress,
) -> Result<(), OutboxError> {
    if write(client, term.consumer(), Some(term.number()), progress).await? == 0 {
        return Err(term.taken_over(client).await?);
    }
    Ok(())
}

/// Answers how many rows were written.
async fn write<C: GenericClient + Sync>(
    client: &C,
    consumer: &str,
    term: Option<i64>,
    progress: &Progress,
) -> Result<u64, OutboxError> {
    let Progress { position, watermark, origin } = progress;
    let snapshot = watermark.as_ref().map(|watermark| watermark.snapshot.as_str());
    let lsn = watermark.as_ref().map(|watermark| PgLsn::from(watermark.lsn));
    let stream = origin.stream.as_ref().map(Stream::as_str);
    let params: [&(dyn ToSql + Sync); 10] = [
        &consumer,
        &PgLsn::from(position.lsn),
        &snapshot,
        &lsn,
        &origin.source.system_identifier,
        &origin.source.timeline,
        &origin.database,
        &origin.epoch,
        &term,
        &stream,
    ];
    client.execute(STORE_SQL, &params).await.map_err(OutboxError::database("storing the progress of a consumer"))
}

const STORE_SQL: &str = r#"
INSERT INTO "dms"."ProjectionProgress" AS p ("Consumer", "Position", "WatermarkSnapshot", "WatermarkLsn",
       "SystemIdentifier", "Timeline", "DatabaseUuid", "Epoch", "UpdatedAt", "Stream")
SELECT $1::text, $2::pg_lsn, $3::text::pg_snapshot, $4::pg_lsn, $5::text, $6::int4, $7::uuid, $8::uuid, now(), $10::text
 WHERE $9::int8 IS NULL OR EXISTS (SELECT FROM "dms"."ProjectionProgress" WHERE "Consumer" = $1::text)
    ON CONFLICT ("Consumer") DO UPDATE SET
       "Position" = excluded."Position",
       "WatermarkSnapshot" = CASE WHEN excluded."WatermarkSnapshot" IS NOT NULL THEN excluded."WatermarkSnapshot"
            WHEN (p."SystemIdentifier", p."Timeline", p."DatabaseUuid")
               = (excluded."SystemIdentifier", excluded."Timeline", excluded."DatabaseUuid")
            THEN p."WatermarkSnapshot" END,
       "WatermarkLsn" = CASE WHEN excluded."WatermarkLsn" IS NOT NULL THEN excluded."WatermarkLsn"
            WHEN (p."SystemIdentifier", p."Timeline", p."DatabaseUuid")
               = (excluded."SystemIdentifier", excluded."Timeline", excluded."DatabaseUuid")
            THEN p."WatermarkLsn" END,
       "SystemIdentifier" = excluded."SystemIdentifier",
       "Timeline" = excluded."Timeline",
       "DatabaseUuid" = excluded."DatabaseUuid",
       "Epoch" = excluded."Epoch",
       "UpdatedAt" = excluded."UpdatedAt",
       "Stream" = excluded."Stream"
 WHERE $9::int8 IS NULL OR p."FencingEpoch" = $9::int8"#;

/// Moves a consumer's stored progress on: reads a watermark, waits until it is covered, stores it, reads the next.
#[derive(Debug)]
pub struct ProgressKeeper {
    consumer: String,
    term: Option<FencingEpoch>,
    origin: Origin,
    candidate: Option<Candidate>,
}

/// A watermark that may be stored once everything before it is durable.
#[derive(Debug)]
struct Candidate {
    watermark: Watermark,
    /// The position in the stream before which everything lies that the watermark speaks of, once that is known.
    place: Option<Position>,
}

/// How often it is worth calling [`ProgressKeeper::advance`].
pub const ADVANCE_INTERVAL: Duration = Duration::from_secs(5);

impl ProgressKeeper {
    /// A keeper of one consumer's row.
    #[must_use]
    pub fn new(consumer: impl Into<String>, origin: Origin) -> Self {
        Self { consumer: consumer.into(), term: None, origin, candidate: None }
    }

    /// A keeper of a relay's row, which fails with [`OutboxError::TakenOver`] once another relay has taken over.
    #[must_use]
    pub fn in_term(term: FencingEpoch, origin: Origin) -> Self {
        Self { consumer: term.consumer().to_owned(), term: Some(term), origin, candidate: None }
    }

    async fn store<C: GenericClient + Sync>(&self, client: &C, progress: &Progress) -> Result<(), OutboxError> {
        match &self.term {
            Some(term) => store_in_term(client, term, progress).await,
            None => store(client, &self.consumer, progress).await,
        }
    }

    /// The end of the log whose place in the stream is wanted before the watermark read with it can be stored; `None` if
    /// none is. In a stream of WAL positions it is its own place.
    #[must_use]
    pub fn unplaced(&self) -> Option<u64> {
        let candidate = self.candidate.as_ref().filter(|candidate| candidate.place.is_none())?;
        Some(candidate.watermark.lsn)
    }

    /// Says before which position of the stream everything lies that was committed before the end of the log that
    /// [`ProgressKeeper::unplaced`] answered.
    pub fn place(&mut self, position: Position) {
        if let Some(candidate) = &mut self.candidate {
            candidate.place = Some(position);
        }
    }

    /// Call it now and then with the position that is durable. Stores the watermark that was read before if it has its
    /// place and that is reached, and reads a new one then. Answers what was stored.
    ///
    /// # Errors
    /// When the database refuses; the same call may be made again.
    pub async fn advance<C: GenericClient + Sync>(
        &mut self,
        client: &C,
        durable: Position,
    ) -> Result<Option<Progress>, OutboxError> {
        let mut stored = None;
        if let Some(Candidate { watermark, place: Some(place) }) = &self.candidate
            && *place <= durable
        {
            let progress =
                Progress { position: durable, watermark: Some(watermark.clone()), origin: self.origin.clone() };
            self.store(client, &progress).await?;
            stored = Some(progress);
            self.candidate = None;
        }
        if self.candidate.is_none() {
            self.candidate = Some(Candidate { watermark: Watermark::read(client).await?, place: None });
        }
        Ok(stored)
    }

    /// Stores the position alone, where nobody can tell which watermark it covers. The stored one stays.
    ///
    /// # Errors
    /// When the database refuses; the same call may be made again.
    pub async fn advance_unmarked<C: GenericClient + Sync>(
        &self,
        client: &C,
        durable: Position,
    ) -> Result<(), OutboxError> {
        self.store(client, &Progress { position: durable, watermark: None, origin: self.origin.clone() }).await
    }

    /// As [`ProgressKeeper::advance`], for a polling source: its position itself says which transactions are covered.
    ///
    /// # Errors
    /// When the database refuses; the same call may be made again.
    pub async fn advance_polled<C: GenericClient + Sync>(
        &self,
        client: &C,
        durable: Position,
    ) -> Result<Progress, OutboxError> {
        let watermark = Watermark { snapshot: Snapshot::before_xid(durable.lsn), lsn: durable.lsn };
        let progress = Progress { position: durable, watermark: Some(watermark), origin: self.origin.clone() };
        self.store(client, &progress).await?;
        Ok(progress)
    }
}
