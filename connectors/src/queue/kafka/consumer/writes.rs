//! The consumer's writes: settlements, those that consumed records require, and periodic ones.
//!
//! A settlement is written in this order: work for the lanes; entries that stay, as they are now; the quarantine. Only then
//! do the entries stop holding their records. A crash in between repeats all of it, which is harmless: versions guard
//! every write downstream.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::FutureExt;
use millstream_pipeline::queue::{QueueError, SettleReport, Settled, Ticket, Work};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::{Consumer, QuarantineWrite, SettleBatch, WriteOutcome};
use crate::queue::kafka::member::{Assignment, GroupAction};
use crate::queue::kafka::producer::{OutgoingRecord, Written};
use crate::queue::kafka::window::{Carry, HeldRecord, MaintenanceWrite};

/// Stragglers that are carried in one write.
const CARRIED_MAX: usize = 500;
/// Quarantine entries that are brought up to date in one write.
const MIRRORED_MAX: usize = 500;

impl Consumer {
    /// Decides the outcome of entries, and starts to write it.
    pub(super) fn settle(
        &mut self,
        settled: Vec<(Ticket, Settled)>,
        now_ms: u64,
        reply: oneshot::Sender<Result<SettleReport, QueueError>>,
    ) {
        let attempts_max = self.topic.context.options.attempts_max.max(1);
        let mut report = SettleReport::default();
        let mut settlings = Vec::with_capacity(settled.len());
        for (ticket, settled) in settled {
            match self.window.begin_settle(ticket, settled, now_ms, attempts_max) {
                Some(settling) => settlings.push(settling),
                None => report.unknown += 1,
            }
        }
        let deliveries: Vec<Work> = settlings.iter().filter_map(|settling| settling.delivery.clone()).collect();
        let carries: Vec<Carry> = settlings.iter().filter_map(|settling| settling.carry.clone()).collect();
        let mut batch = SettleBatch { settlings, carried: Vec::new(), report, reply };
        let (topic, lanes) = (Arc::clone(&self.topic), self.lanes.clone());
        let write = async move {
            if let Some(lanes) = lanes {
                lanes.deliver(&deliveries).await?;
            }
            if carries.is_empty() { Ok(Vec::new()) } else { topic.carry(&carries).await }
        };
        self.writes.push(Box::pin(async move {
            let written = write.await.map(|carried| batch.carried = carried);
            WriteOutcome::SettleWritten(batch, written)
        }));
    }

    /// Applies the outcome of a write.
    pub(super) fn apply(&mut self, outcome: WriteOutcome) {
        match outcome {
            WriteOutcome::Opened(assigned, beginnings) => self.opened(&assigned, &beginnings),
            WriteOutcome::SettleWritten(batch, Ok(())) => {
                if batch.settlings.iter().any(|settling| settling.mirror) {
                    self.maintenance.quarantine.push_back(QuarantineWrite::Settle(batch));
                    self.write_quarantine();
                } else {
                    self.finish_settle(batch);
                }
            }
            WriteOutcome::SettleWritten(batch, Err(error)) => self.abort_settle(batch, error),
            WriteOutcome::QuarantineWritten(write, written) => self.quarantine_written(write, written),
            WriteOutcome::UnreadableKept(held, kept) => {
                self.maintenance.unreadable -= 1;
                if self.report_failure(kept).is_some() {
                    self.window.let_go(held);
                }
            }
            WriteOutcome::Carried(carries, written) => self.carried(&carries, written),
            WriteOutcome::Truncated(truncated) => {
                self.maintenance.is_truncating = false;
                if let Some(truncated) = self.report_failure(truncated) {
                    self.maintenance.truncated = truncated;
                }
            }
            WriteOutcome::Ended => {}
        }
        self.try_finish_revocation();
    }

    /// Ends settlements that are written. The reply waits until the carried entries are read again.
    fn finish_settle(&mut self, batch: SettleBatch) {
        let SettleBatch { settlings, carried, mut report, reply } = batch;
        let mut places = carried.iter();
        for settling in &settlings {
            let place = settling.carry.as_ref().and_then(|_| places.next().copied().flatten());
            let write = self.window.finish_settle(settling, place.map(|written| written.offset));
            report.count(settling.outcome);
            self.require(write);
        }
        self.update();
        if carried.is_empty() {
            drop(reply.send(Ok(report)));
            return;
        }
        let topic = Arc::clone(&self.topic);
        self.writes.push(Box::pin(async move {
            topic.until_read(&carried).await;
            drop(reply.send(Ok(report)));
            WriteOutcome::Ended
        }));
    }

    fn abort_settle(&mut self, batch: SettleBatch, error: QueueError) {
        batch.settlings.into_iter().for_each(|settling| self.window.abort_settle(settling));
        self.update();
        drop(batch.reply.send(Err(error)));
    }

    /// Queues a write that a consumed record or a settlement requires.
    pub(super) fn require(&mut self, write: Option<MaintenanceWrite>) {
        let Some(write) = write else { return };
        self.maintenance.quarantine.push_back(match write {
            MaintenanceWrite::Mirror { document_id } => QuarantineWrite::Mirror { document_id, number: 0 },
            MaintenanceWrite::Forget { document_id, held } => QuarantineWrite::Forget { document_id, held },
        });
        self.write_quarantine();
    }

    /// Starts the next write to the quarantine topic, unless one is in progress. After the end of the queue nothing is
    /// written any more: the records stay unfinished, and their next owner reads them again.
    fn write_quarantine(&mut self) {
        if self.maintenance.is_quarantine_busy {
            return;
        }
        if self.topic.stop.is_cancelled() {
            for write in std::mem::take(&mut self.maintenance.quarantine) {
                if let QuarantineWrite::Settle(batch) = write {
                    self.abort_settle(batch, QueueError::Closed);
                }
            }
            return;
        }
        let (writes, documents) = self.next_quarantine_writes();
        if writes.is_empty() {
            return;
        }
        let records = self.quarantine_records(&documents);
        let topic = Arc::clone(&self.topic);
        self.maintenance.is_quarantine_busy = true;
        self.writes.push(Box::pin(async move {
            let written = topic.write_owned(&records).await;
            WriteOutcome::QuarantineWritten(writes, written)
        }));
    }

    /// Removes the writes to be done together from the queue: a settlement alone, since its caller gets the outcome, or
    /// up to [`MIRRORED_MAX`] others. Returns their documents too.
    fn next_quarantine_writes(&mut self) -> (Vec<QuarantineWrite>, BTreeSet<i64>) {
        let (mut writes, mut documents) = (Vec::new(), BTreeSet::new());
        while let Some(write) = self.maintenance.quarantine.pop_front() {
            match write {
                QuarantineWrite::Settle(batch) if writes.is_empty() => {
                    let mirrored = batch.settlings.iter().filter(|settling| settling.mirror);
                    documents.extend(mirrored.map(|settling| settling.document_id));
                    return (vec![QuarantineWrite::Settle(batch)], documents);
                }
                QuarantineWrite::Settle(batch) => {
                    self.maintenance.quarantine.push_front(QuarantineWrite::Settle(batch));
                    break;
                }
                QuarantineWrite::Mirror { document_id, .. } => {
                    if let Some(number) = self.window.begin_mirror(document_id) {
                        documents.insert(document_id);
                        writes.push(QuarantineWrite::Mirror { document_id, number });
                    }
                }
                QuarantineWrite::Forget { document_id, held } => {
                    documents.insert(document_id);
                    writes.push(QuarantineWrite::Forget { document_id, held });
                }
            }
            if writes.len() >= MIRRORED_MAX {
                break;
            }
        }
        (writes, documents)
    }

    /// Returns records that bring the quarantine topic up to the window, for documents in assigned partitions.
    fn quarantine_records(&self, documents: &BTreeSet<i64>) -> Vec<OutgoingRecord> {
        let placed = documents.iter().map(|document_id| (*document_id, self.topic.partition_of(*document_id)));
        let record = |(document_id, partition)| {
            let entry = self.window.quarantine_of(document_id);
            self.topic.quarantine.entry_record(document_id, partition, entry.as_ref())
        };
        placed.filter(|(_, partition)| self.window.owns(*partition)).map(record).collect()
    }

    fn quarantine_written(&mut self, mut writes: Vec<QuarantineWrite>, written: Result<(), QueueError>) {
        self.maintenance.is_quarantine_busy = false;
        match (writes.pop_if(|write| matches!(write, QuarantineWrite::Settle(_))), written) {
            (Some(QuarantineWrite::Settle(batch)), Ok(())) => self.finish_settle(batch),
            (Some(QuarantineWrite::Settle(batch)), Err(error)) => self.abort_settle(batch, error),
            (_, written) => {
                if self.report_failure(written).is_some() {
                    self.mirrored(writes);
                }
            }
        }
        self.write_quarantine();
    }

    fn mirrored(&mut self, writes: Vec<QuarantineWrite>) {
        for write in writes {
            match write {
                QuarantineWrite::Mirror { document_id, number } => self.window.finish_mirror(document_id, number),
                QuarantineWrite::Forget { held, .. } => self.window.let_go(held),
                QuarantineWrite::Settle(batch) => self.finish_settle(batch),
            }
        }
    }

    /// Copies an unreadable record to the quarantine topic.
    pub(super) fn keep_unreadable(&mut self, held: HeldRecord, value: Option<Vec<u8>>, reason: String) {
        let topic = Arc::clone(&self.topic);
        let record = topic.quarantine.unreadable_record((held.partition, held.offset), value, reason);
        self.maintenance.unreadable += 1;
        let kept = async move { topic.write_owned(&[record]).await };
        self.writes.push(Box::pin(kept.map(move |kept| WriteOutcome::UnreadableKept(held, kept))));
    }

    /// Starts the periodic writes that are due.
    pub(super) fn tick(&mut self) {
        let options = &self.topic.context.options;
        let now = Instant::now();
        self.next_tick = now + options.commit_interval;
        let is_truncation_due = now >= self.next_truncation;
        if is_truncation_due {
            self.next_truncation = now + options.trim_interval;
        }
        self.commit();
        self.carry_stragglers();
        if is_truncation_due {
            self.truncate();
        }
    }

    fn commit(&self) {
        let uncommitted = self.uncommitted();
        let offsets = uncommitted.into_iter().filter_map(|(partition, offset)| {
            let number = *self.assignments.get(&partition)?;
            Some((Assignment { partition, number }, offset))
        });
        let offsets: Vec<(Assignment, i64)> = offsets.collect();
        if !offsets.is_empty() {
            self.act(GroupAction::Commit(offsets));
        }
    }

    fn carry_stragglers(&mut self) {
        if self.maintenance.is_carrying {
            return;
        }
        let behind = i64::from(self.topic.context.options.held_behind_max);
        let carries = self.window.carry_stragglers(behind, CARRIED_MAX);
        if carries.is_empty() {
            return;
        }
        self.maintenance.is_carrying = true;
        let topic = Arc::clone(&self.topic);
        self.writes.push(Box::pin(async move {
            let written = topic.carry(&carries).await;
            WriteOutcome::Carried(carries, written)
        }));
    }

    fn carried(&mut self, carries: &[Carry], written: Result<Vec<Option<Written>>, QueueError>) {
        self.maintenance.is_carrying = false;
        let written = self.report_failure(written).unwrap_or_else(|| vec![None; carries.len()]);
        for (carry, place) in carries.iter().zip(written) {
            self.window.finish_carry(carry, place.map(|written| written.offset));
        }
    }

    fn truncate(&mut self) {
        if self.maintenance.is_truncating {
            return;
        }
        self.maintenance.is_truncating = true;
        let topic = Arc::clone(&self.topic);
        let assigned = self.window.reads().map(|(partition, _)| partition).collect();
        let truncated = self.maintenance.truncated.clone();
        // A task of its own: creating and dropping an admin client blocks.
        let task = self.topic.context.tasks.spawn(async move {
            tokio::select! {
                () = topic.stop.cancelled() => Err(QueueError::Closed),
                truncated = topic.truncate(assigned, truncated) => truncated,
            }
        });
        self.writes
            .push(Box::pin(async move { WriteOutcome::Truncated(task.await.unwrap_or(Err(QueueError::Closed))) }));
    }

    /// Logs the failure of a background write. The record stays held, so that it is read again after the next start.
    fn report_failure<T>(&self, result: Result<T, QueueError>) -> Option<T> {
        let topic = &self.topic.name;
        match result {
            Ok(value) => return Some(value),
            Err(QueueError::Closed) => {}
            Err(error @ QueueError::NoLane { .. }) => {
                tracing::info!(%topic, %error, "the lane was removed; leaving its group");
                self.topic.stop.cancel();
            }
            Err(error @ QueueError::Unavailable { .. }) => {
                tracing::warn!(%topic, %error, "a background write of the queue failed; its records stay unfinished");
            }
            Err(error) => tracing::error!(%topic, %error, "a record of the queue stays unfinished"),
        }
        None
    }
}
