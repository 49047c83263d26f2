//! Assembles events from messages: counts rows within their transactions, skips rows below the stored position, and
//! cuts batches.

use std::collections::HashMap;

use millstream_pipeline::Position;
use millstream_pipeline::source::{ChangeBatch, SourceError, SourceEvent};
use pgwire_replication::ReplicationEvent;

use super::pgoutput::{self, Insert, Message, OutboxColumns};

/// Collects received changes until the source returns them as an event. Survives reconnects, except for the relations
/// and a partly received transaction.
#[derive(Debug)]
pub(super) struct Assembler {
    batch_max: usize,
    /// The outbox's columns of each relation; `None` for a table that is not the outbox.
    relations: HashMap<u32, Option<OutboxColumns>>,
    /// The transaction being received.
    open: Option<OpenTransaction>,
    /// Position of the last change that is in `batch` or was returned in an event.
    accepted: Position,
    batch: ChangeBatch,
    /// Whether `accepted` moved since the last event.
    moved: bool,
    /// Position that the server reported while no transaction was in flight, not yet returned.
    idle: Option<Position>,
}

#[derive(Debug)]
struct OpenTransaction {
    /// Start of its commit record.
    commit_lsn: u64,
    /// Number of its changes received so far.
    changes: u64,
}

impl Assembler {
    /// Creates an assembler that skips everything up to `stored`.
    pub(super) fn new(stored: Position, batch_max: usize) -> Self {
        Self {
            batch_max,
            relations: HashMap::new(),
            open: None,
            accepted: stored,
            batch: ChangeBatch::default(),
            moved: false,
            idle: None,
        }
    }

    /// Resets the state of the connection: on a new one the server repeats relations, and transactions from their
    /// beginning.
    pub(super) fn reconnected(&mut self) {
        self.relations.clear();
        self.open = None;
        self.idle = None;
    }

    /// Adds one event of the connection.
    pub(super) fn accept(&mut self, event: ReplicationEvent) -> Result<(), SourceError> {
        match event {
            ReplicationEvent::Begin { final_lsn, .. } => {
                self.open = Some(OpenTransaction { commit_lsn: final_lsn.0, changes: 0 });
            }
            ReplicationEvent::Commit { end_lsn, .. } => {
                self.open = None;
                self.advance(Position::before(end_lsn.0));
            }
            ReplicationEvent::KeepAlive { wal_end, .. } => {
                let position = Position::before(wal_end.0);
                if self.open.is_none() && position > self.accepted {
                    self.idle = Some(position);
                }
            }
            ReplicationEvent::XLogData { data, .. } => match pgoutput::decode(data)? {
                Message::Relation(relation) => {
                    let columns = relation.is_outbox().then(|| relation.outbox_columns()).transpose()?;
                    if columns.is_none() {
                        tracing::warn!(schema = %relation.schema, table = %relation.name,
                            "the publication contains a table that is not the outbox; ignoring its rows");
                    }
                    self.relations.insert(relation.oid, columns);
                }
                Message::Insert(insert) => self.insert(&insert)?,
                Message::Other => {}
            },
            // A heartbeat carries no data: its arrival is its purpose.
            ReplicationEvent::Message { .. } | ReplicationEvent::StoppedAt { .. } => {}
        }
        Ok(())
    }

    fn insert(&mut self, insert: &Insert) -> Result<(), SourceError> {
        let unknown =
            || SourceError::Unreadable(format!("a row of relation {} before its description", insert.relation));
        let Some(columns) = self.relations.get(&insert.relation).ok_or_else(unknown)? else { return Ok(()) };
        let outside = || SourceError::Unreadable("a row outside a transaction".to_owned());
        let open = self.open.as_mut().ok_or_else(outside)?;
        open.changes += 1;
        let position = Position::within(open.commit_lsn, open.changes);
        if position > self.accepted {
            self.batch.changes.push(columns.change(&insert.values)?);
            self.advance(position);
        }
        Ok(())
    }

    fn advance(&mut self, position: Position) {
        if position > self.accepted {
            self.accepted = position;
            self.moved = true;
        }
        // An idle position below the accepted one is out of date.
        self.idle = self.idle.filter(|idle| *idle > self.accepted);
    }

    /// Returns whether the batch has to be taken before more events are accepted.
    pub(super) fn is_full(&self) -> bool {
        self.batch.changes.len() >= self.batch_max
    }

    /// Returns whether an event is ready: a full batch, or whole transactions.
    pub(super) fn has_event(&self) -> bool {
        self.is_full() || (self.moved && self.open.is_none())
    }

    /// Returns whether the server has advanced without changes.
    pub(super) const fn has_idle(&self) -> bool {
        self.idle.is_some()
    }

    /// Returns the position after everything accepted so far.
    pub(super) const fn accepted(&self) -> Position {
        self.accepted
    }

    /// Takes the next event.
    pub(super) fn take_event(&mut self) -> SourceEvent {
        if let Some(idle) = self.idle.take() {
            self.accepted = idle;
        }
        self.moved = false;
        let mut batch = std::mem::take(&mut self.batch);
        if batch.changes.is_empty() {
            return SourceEvent::Idle { position: self.accepted };
        }
        batch.position = self.accepted;
        SourceEvent::Changes(batch)
    }
}

#[cfg(test)]
mod tests {
    use super::super::pgoutput::tests::{insert_message, relation_message};
    use super::*;
    use pgwire_replication::Lsn;

    const COLUMNS: [&str; 7] =
        ["OutboxId", "TransactionId", "DocumentId", "DocumentUuid", "ResourceKeyId", "Kind", "ContentVersion"];
    const UUID: &str = "00000000-0000-0000-0000-000000000005";

    fn data(data: bytes::Bytes) -> ReplicationEvent {
        ReplicationEvent::XLogData { wal_start: Lsn(0), wal_end: Lsn(0), server_time_micros: 0, data }
    }

    fn begin(lsn: u64) -> ReplicationEvent {
        ReplicationEvent::Begin { final_lsn: Lsn(lsn), xid: 1, commit_time_micros: 0 }
    }

    fn row(id: i64) -> ReplicationEvent {
        let id = id.to_string();
        let id = Some(id.as_str());
        data(insert_message(9, &[id, id, id, Some(UUID), Some("1"), Some("upsert"), id]))
    }

    fn commit(lsn: u64, end_lsn: u64) -> ReplicationEvent {
        ReplicationEvent::Commit { lsn: Lsn(lsn), end_lsn: Lsn(end_lsn), commit_time_micros: 0 }
    }

    fn keepalive(lsn: u64) -> ReplicationEvent {
        ReplicationEvent::KeepAlive { wal_end: Lsn(lsn), reply_requested: false, server_time_micros: 0 }
    }

    /// Feeds events and takes the resulting event after each, as the stream loop does.
    fn feed(assembler: &mut Assembler, events: Vec<ReplicationEvent>) -> Vec<(Vec<i64>, Position)> {
        let mut out = Vec::new();
        assembler.accept(data(relation_message(9, "Outbox", &COLUMNS))).expect("relation");
        for event in events {
            assembler.accept(event).expect("an event");
            if assembler.has_event() {
                let event = assembler.take_event();
                let ids = match &event {
                    SourceEvent::Changes(batch) => batch.changes.iter().map(|change| change.outbox_id).collect(),
                    SourceEvent::Idle { .. } => vec![],
                };
                out.push((ids, event.position()));
            }
        }
        out
    }

    #[test]
    fn a_long_transaction_comes_in_pieces_that_can_be_confirmed() {
        let mut assembler = Assembler::new(Position::ZERO, 2);
        let events = vec![
            begin(100),
            row(1),
            row(2),
            row(3),
            keepalive(500),
            commit(100, 120),
            begin(120),
            row(4),
            commit(120, 140),
        ];
        let out = feed(&mut assembler, events);
        let expected = [
            (vec![1, 2], Position::within(100, 2)),
            (vec![3], Position::before(120)),
            (vec![4], Position::before(140)),
        ];
        assert_eq!(out, expected, "and a keepalive inside a transaction says nothing about it");
        assert!(!assembler.has_idle());
    }

    #[test]
    fn what_is_stored_is_skipped_row_by_row() {
        let mut assembler = Assembler::new(Position::within(100, 2), 10);
        let events = vec![begin(80), row(0), commit(80, 100), begin(100), row(1), row(2), row(3), commit(100, 120)];
        assert_eq!(feed(&mut assembler, events), [(vec![3], Position::before(120))]);
        assembler.reconnected();
        let events = vec![begin(100), row(1), row(2), row(3), commit(100, 120), begin(130), row(5), commit(130, 140)];
        assert_eq!(feed(&mut assembler, events), [(vec![5], Position::before(140))]);
    }

    #[test]
    fn the_end_of_a_transaction_whose_rows_are_gone_moves_the_position() {
        let mut assembler = Assembler::new(Position::ZERO, 1);
        let out = feed(&mut assembler, vec![begin(100), row(1), commit(100, 120)]);
        assert_eq!(out, [(vec![1], Position::within(100, 1)), (vec![], Position::before(120))]);
    }

    #[test]
    fn an_idle_server_moves_the_position() {
        let mut assembler = Assembler::new(Position::before(50), 10);
        assert_eq!(feed(&mut assembler, vec![keepalive(50), keepalive(40)]), []);
        assert!(!assembler.has_idle());
        feed(&mut assembler, vec![keepalive(60), keepalive(70)]);
        assert!(assembler.has_idle());
        assert_eq!(assembler.take_event(), SourceEvent::Idle { position: Position::before(70) });
        assert_eq!((assembler.accepted(), assembler.has_idle()), (Position::before(70), false));
    }

    #[test]
    fn rows_of_other_tables_are_ignored_and_of_unknown_ones_refused() {
        let mut assembler = Assembler::new(Position::ZERO, 10);
        assembler.accept(data(relation_message(9, "Elsewhere", &["Id"]))).expect("relation");
        assembler.accept(begin(100)).expect("begin");
        assembler.accept(row(1)).expect("ignored");
        assert!(assembler.accept(data(insert_message(10, &[]))).is_err());
    }
}
