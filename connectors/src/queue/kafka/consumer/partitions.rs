//! The consumer's partitions: opening after an assignment, release at a revocation, and the limit of reading.

use std::sync::Arc;

use millstream_pipeline::Backoff;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::{Consumer, Revocation, UNREADABLE_MAX, WriteOutcome};
use crate::queue::kafka::member::{Assignment, GroupAction};

impl Consumer {
    /// Prepares to read partitions: looks up where to begin, and what their quarantine holds.
    pub(super) fn open(&mut self, assigned: Vec<Assignment>) {
        if assigned.is_empty() {
            return;
        }
        self.assignments.extend(assigned.iter().map(|assignment| (assignment.partition, assignment.number)));
        let (topic, stop) = (Arc::clone(&self.topic), self.topic.stop.clone());
        let beginnings = async move {
            let partitions: Vec<i32> = assigned.iter().map(|assignment| assignment.partition).collect();
            let mut backoff = Backoff::RECONNECT.attempts();
            loop {
                match topic.beginnings(&partitions).await {
                    Ok(beginnings) => return WriteOutcome::Opened(assigned, beginnings),
                    Err(error) => {
                        tracing::warn!(topic = %topic.name, %error, "failed to open partitions of the queue; retrying");
                    }
                }
                tokio::time::sleep(backoff.fail()).await;
            }
        };
        self.writes.push(Box::pin(async move {
            tokio::select! {
                () = stop.cancelled() => WriteOutcome::Ended,
                opened = beginnings => opened,
            }
        }));
    }

    /// Starts to read partitions. Those that were revoked meanwhile are left out, even if they were assigned again: the
    /// offsets may be outdated.
    pub(super) fn opened(&mut self, assigned: &[Assignment], beginnings: &[(i32, i64)]) {
        let mut present = assigned.to_vec();
        present.retain(|assignment| self.assignments.get(&assignment.partition) == Some(&assignment.number));
        for (partition, from) in beginnings {
            if present.iter().any(|assignment| assignment.partition == *partition) {
                let quarantined = self.topic.quarantine.entries(|row| row == *partition);
                self.topic.owned.lock().insert(*partition);
                self.window.assign(*partition, *from, quarantined);
                self.committed.insert(*partition, *from);
            }
        }
        if present.is_empty() {
            return;
        }
        let partitions: Vec<i32> = present.iter().map(|assignment| assignment.partition).collect();
        tracing::info!(topic = %self.topic.name, ?partitions, "reading partitions of the queue");
        if !self.is_full {
            self.act(GroupAction::Resume(present));
        }
    }

    /// Begins to release partitions.
    pub(super) fn revoke(&mut self, partitions: Vec<i32>, is_lost: bool, reply: oneshot::Sender<Vec<(i32, i64)>>) {
        self.counters.revocations += 1;
        self.assignments.retain(|partition, _| !partitions.contains(partition));
        self.window.hold_back(&partitions);
        if is_lost {
            self.release(&partitions, is_lost);
            drop(reply.send(Vec::new()));
            return;
        }
        let until = Instant::now() + self.topic.context.options.drain_deadline;
        self.revocation = Some(Revocation { partitions, until, reply });
        self.try_finish_revocation();
    }

    /// Ends a revocation once nothing of its partitions is in flight and no write to the quarantine topic is: one that
    /// arrived later could overwrite the next owner's. Nothing is settled after the end of the queue.
    pub(super) fn try_finish_revocation(&mut self) {
        let Some(revocation) = &self.revocation else { return };
        let is_idle = !self.maintenance.is_quarantine_busy && self.maintenance.unreadable == 0;
        if self.topic.stop.is_cancelled() || (is_idle && self.window.in_flight(&revocation.partitions) == 0) {
            self.finish_revocation();
        }
    }

    pub(super) fn give_up_draining(&mut self) {
        if let Some(revocation) = &self.revocation {
            let in_flight = self.window.in_flight(&revocation.partitions);
            tracing::warn!(topic = %self.topic.name, in_flight, "drain deadline reached; entries in flight will be processed again");
        }
        self.finish_revocation();
    }

    /// Answers the group with the finished offsets, and forgets the partitions.
    pub(super) fn finish_revocation(&mut self) {
        let Some(Revocation { partitions, reply, .. }) = self.revocation.take() else { return };
        let mut finished = self.uncommitted();
        finished.retain(|(partition, _)| partitions.contains(partition));
        self.release(&partitions, false);
        drop(reply.send(finished));
    }

    fn release(&mut self, partitions: &[i32], is_lost: bool) {
        self.topic.owned.lock().retain(|partition| !partitions.contains(partition));
        self.window.release(partitions);
        self.committed.retain(|partition, _| !partitions.contains(partition));
        tracing::info!(topic = %self.topic.name, ?partitions, is_lost, "released partitions of the queue");
    }

    /// Returns the finished offsets that the group has not confirmed: never beyond the first unfinished record. They are
    /// sent until they are confirmed, since a commit can be lost with its broker.
    pub(super) fn uncommitted(&self) -> Vec<(i32, i64)> {
        let is_new = |partition: &i32, offset: i64| self.committed.get(partition).is_none_or(|known| offset > *known);
        self.window.finished().filter(|(partition, offset)| is_new(partition, *offset)).collect()
    }

    /// Returns the assignments that are read.
    fn open_assignments(&self) -> Vec<Assignment> {
        let open = self.assignments.iter().filter(|(partition, _)| self.window.owns(**partition));
        open.map(|(partition, number)| Assignment { partition: *partition, number: *number }).collect()
    }

    /// Stops reading while the window is full, and continues when half of it is free.
    pub(super) fn limit_reading(&mut self) {
        let options = &self.topic.context.options;
        let (busy, delayed) = self.window.occupied();
        let share = if self.is_full { 2 } else { 1 };
        let is_full = busy >= (options.window_max / share).max(1)
            || delayed >= (options.delayed_max / share).max(1)
            || self.maintenance.unreadable >= UNREADABLE_MAX / share;
        if is_full != self.is_full {
            self.is_full = is_full;
            let open = self.open_assignments();
            self.act(if is_full { GroupAction::Pause(open) } else { GroupAction::Resume(open) });
        }
    }
}
