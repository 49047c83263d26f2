//! A consumer's progress in the outbox, kept in the database: recovery reads the outbox again from here if the slot
//! or the queue's disk is lost.
//!
//! The watermark is a pair (S, L): a snapshot S, and L, the end of the WAL read after it. Every transaction that S sees
//! has its commit record before L. So once everything up to L is durable here, everything that S sees is, and S may be
//! stored: recovery has to replay what S cannot see. A largest outbox id or version would not be a watermark, for
//! ids and versions do not commit in order.

use std::fmt;
use std::time::Duration;

use millstream_pipeline::Position;
use millstream_pipeline::source::{SourceIdentity, Stream};
use millstream_store::connect::GenericClient;
use millstream_store::table::history::{self, DatabaseState};
use millstream_store::table::{progress as table, server};
use tokio_postgres::types::PgLsn;
use uuid::Uuid;

use crate::error::{During, OutboxError};
use crate::relay::FencingEpoch;

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
        // PostgreSQL has no transaction below 3, and refuses a snapshot that begins at 0.
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
    /// Reads a watermark: S first, then L, each in a statement of its own.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn read<C: GenericClient>(client: &C) -> Result<Self, OutboxError> {
        const ACTION: &str = "reading a recovery watermark";
        let snapshot = server::snapshot(client).await.during(ACTION)?;
        let lsn = server::wal_end(client).await.during(ACTION)?;
        Ok(Self { snapshot: Snapshot(snapshot), lsn: lsn.into() })
    }
}

/// The server, database, queue and stream that a row of `dms.ProjectionProgress` belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The server and its history; transaction ids mean nothing in another.
    pub source: SourceIdentity,
    /// `dms.EffectiveSchema."DatabaseUuid"`.
    pub database: Uuid,
    /// The epoch of the queue that made the position durable.
    pub epoch: Uuid,
    /// The stream that the position belongs to; `None` in a row of a version that supported only slots.
    pub stream: Option<Stream>,
    /// The history of the database (`dms."EffectiveSchema"."History"`): it grows when the database has lost commits.
    pub history: i64,
}

impl Origin {
    /// Reads the identity of server and database, for the queue with this epoch, filled from this stream.
    ///
    /// # Errors
    /// When the database refuses, or was never provisioned.
    pub async fn read<C: GenericClient>(client: &C, epoch: Uuid, stream: Stream) -> Result<Self, OutboxError> {
        let state = history::read(client).await.during("reading which database this is")?;
        let state = state.ok_or_else(|| {
            OutboxError::State(r#"dms."EffectiveSchema" has no database uuid: apply the schema first"#.to_owned())
        })?;
        Ok(Self::of(state, epoch, stream))
    }

    /// The origin of what is stored in a database in this state.
    #[must_use]
    pub fn of(state: DatabaseState, epoch: Uuid, stream: Stream) -> Self {
        let DatabaseState { system_identifier, timeline, database, history, .. } = state;
        let source = SourceIdentity { system_identifier, timeline };
        Self { source, database, epoch, stream: Some(stream), history }
    }

    /// Whether log positions, transaction ids and versions of `other` have the same meaning here: the same database on
    /// the same server, in the same history.
    #[must_use]
    pub fn has_history_of(&self, other: &Self) -> bool {
        (&self.source, self.database, self.history) == (&other.source, other.database, other.history)
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { source, database, .. } = self;
        write!(f, "database {database} on {source}")
    }
}

/// A row of `dms.ProjectionProgress`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// The consumer's durable position.
    pub position: Position,
    /// The watermark before which recovery need not replay, once one is established.
    pub watermark: Option<Watermark>,
    /// The server, database, queue and stream of position and watermark.
    pub origin: Origin,
}

/// Reads a consumer's progress, `None` if it never stored any.
///
/// # Errors
/// When the database refuses, or another program wrote the row.
pub async fn load<C: GenericClient>(client: &C, consumer: &str) -> Result<Option<Progress>, OutboxError> {
    let Some(row) = table::load(client, consumer).await.during("reading the progress of a consumer")? else {
        return Ok(None);
    };
    // A relay that has just taken over for the first time has stored nothing yet.
    let Some(position) = row.position else { return Ok(None) };
    let missing =
        |column| OutboxError::State(format!("the progress of consumer {consumer:?} has a position but no {column}"));
    let source = SourceIdentity {
        system_identifier: row.system_identifier.ok_or_else(|| missing("SystemIdentifier"))?,
        timeline: row.timeline.ok_or_else(|| missing("Timeline"))?,
    };
    let watermark = row.watermark_snapshot.zip(row.watermark_lsn);
    Ok(Some(Progress {
        position: Position::before(position.into()),
        watermark: watermark.map(|(text, lsn)| Watermark { snapshot: Snapshot(text), lsn: lsn.into() }),
        origin: Origin {
            source,
            database: row.database.ok_or_else(|| missing("DatabaseUuid"))?,
            epoch: row.epoch.ok_or_else(|| missing("Epoch"))?,
            stream: row.stream.map(Stream::stored),
            history: row.history,
        },
    }))
}

/// Stores a consumer's progress. Without a watermark the stored one stays, which remains true as long as the origin
/// does; under another origin it is cleared.
///
/// # Errors
/// When the database refuses.
pub async fn store<C: GenericClient>(client: &C, consumer: &str, progress: &Progress) -> Result<(), OutboxError> {
    write(client, consumer, None, progress).await.map(|_| ())
}

/// Stores a consumer's progress as [`store`] does, if `epoch` is still the current one.
///
/// # Errors
/// [`OutboxError::TakenOver`] when another relay has taken over: nothing is stored then. When the database refuses.
pub async fn store_in_term<C: GenericClient>(
    client: &C,
    epoch: &FencingEpoch,
    progress: &Progress,
) -> Result<(), OutboxError> {
    if write(client, epoch.consumer(), Some(epoch.number()), progress).await? == 0 {
        return Err(epoch.taken_over(client).await?);
    }
    Ok(())
}

/// Returns how many rows were written.
async fn write<C: GenericClient>(
    client: &C,
    consumer: &str,
    epoch: Option<i64>,
    progress: &Progress,
) -> Result<u64, OutboxError> {
    let Progress { position, watermark, origin } = progress;
    let row = table::NewProgress {
        position: PgLsn::from(position.lsn),
        watermark: watermark.as_ref().map(|watermark| (watermark.snapshot.as_str(), PgLsn::from(watermark.lsn))),
        system_identifier: &origin.source.system_identifier,
        timeline: origin.source.timeline,
        database: origin.database,
        epoch: origin.epoch,
        stream: origin.stream.as_ref().map(Stream::as_str),
        history: origin.history,
    };
    table::store(client, consumer, epoch, &row).await.during("storing the progress of a consumer")
}

/// Advances a consumer's stored progress: reads a watermark, waits until it is covered, stores it, reads the next.
#[derive(Debug)]
pub struct ProgressKeeper {
    consumer: String,
    epoch: Option<FencingEpoch>,
    origin: Origin,
    candidate: Option<Candidate>,
}

/// A watermark that may be stored once everything before it is durable.
#[derive(Debug)]
struct Candidate {
    watermark: Watermark,
    /// The position in the stream before which everything lies that the watermark covers, once that is known.
    place: Option<Position>,
}

/// The interval at which to call [`ProgressKeeper::advance`].
pub const ADVANCE_INTERVAL: Duration = Duration::from_secs(5);

impl ProgressKeeper {
    /// A keeper of one consumer's row.
    #[must_use]
    pub fn new(consumer: impl Into<String>, origin: Origin) -> Self {
        Self { consumer: consumer.into(), epoch: None, origin, candidate: None }
    }

    /// A keeper of a relay's row, which fails with [`OutboxError::TakenOver`] once another relay has taken over.
    #[must_use]
    pub fn in_term(epoch: FencingEpoch, origin: Origin) -> Self {
        Self { consumer: epoch.consumer().to_owned(), epoch: Some(epoch), origin, candidate: None }
    }

    async fn store<C: GenericClient>(&self, client: &C, progress: &Progress) -> Result<(), OutboxError> {
        match &self.epoch {
            Some(epoch) => store_in_term(client, epoch, progress).await,
            None => store(client, &self.consumer, progress).await,
        }
    }

    /// The end of the log whose position in the stream is needed before the watermark read with it can be stored;
    /// `None` if none is. In a stream of WAL positions it is its own position.
    #[must_use]
    pub fn unplaced(&self) -> Option<u64> {
        let candidate = self.candidate.as_ref().filter(|candidate| candidate.place.is_none())?;
        Some(candidate.watermark.lsn)
    }

    /// Sets the position of the stream before which everything lies that was committed before the end of the log that
    /// [`ProgressKeeper::unplaced`] returned.
    pub fn place(&mut self, position: Position) {
        if let Some(candidate) = &mut self.candidate {
            candidate.place = Some(position);
        }
    }

    /// Stores the watermark read by an earlier call if its position is known and `durable` has reached it, then reads a
    /// new one. Returns what was stored. Call it every [`ADVANCE_INTERVAL`] with the durable position.
    ///
    /// # Errors
    /// When the database refuses; the same call may be made again.
    pub async fn advance<C: GenericClient>(
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

    /// Stores the position alone, for streams in which the watermark that it covers is unknown. The stored one stays.
    ///
    /// # Errors
    /// When the database refuses; the same call may be made again.
    pub async fn advance_unmarked<C: GenericClient>(&self, client: &C, durable: Position) -> Result<(), OutboxError> {
        self.store(client, &Progress { position: durable, watermark: None, origin: self.origin.clone() }).await
    }

    /// As [`ProgressKeeper::advance`], for a polling source: its position itself determines which transactions are
    /// covered.
    ///
    /// # Errors
    /// When the database refuses; the same call may be made again.
    pub async fn advance_polled<C: GenericClient>(
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
