//! The repair of tables and cache by `millstream verify --repair`: derived rows under the writer's locks, then the bodies
//! of the documents concerned, through the running process or, without one, directly into the durable queue; then a second
//! verification of exactly those documents.

use super::{
    audit::{Audit, audit_scope},
    sinks::Comparison,
};
use crate::{
    compiled::Compiled,
    config::Config,
    control::{
        self, ControlError, Request,
        protocol::{RebuildEnqueued, RepairReport, RepairedDocument, SecondVerification},
    },
    database::Server,
    failure::Failure,
    rebuild_entries::{enqueue_rebuilds, next_step},
    text::grouped,
    up::{self, Queue},
};
use millstream_projector::{SystemClock, reconcile::stamp};
use millstream_store::{
    connect::Database,
    repair::{DocumentRepair, RepairAction},
    verify::{Report, Scope},
};
use millstream_writer::Repairer;
use std::{collections::BTreeMap, collections::BTreeSet, fmt::Write as _, sync::Arc, time::Duration};
use uuid::Uuid;

/// Longest wait for a reply of the running process.
const REPLY_TIMEOUT: Duration = Duration::from_secs(60);
/// Connections that a repair needs: a transaction, and a read beside it.
const CONNECTIONS: usize = 3;
/// Documents per request to the running process.
const DOCUMENTS_PER_REQUEST: usize = 500;
/// Repaired documents in a report.
const DOCUMENTS_SHOWN_JSON: usize = 1_000;
/// Repaired documents for people.
const DOCUMENTS_SHOWN: usize = 20;

/// A repair of what an audit found.
pub(super) struct Repair<'a> {
    pub(super) server: &'a Server,
    pub(super) compiled: &'a Compiled,
    pub(super) config: &'a Config,
    pub(super) dry_run: bool,
    /// Time for the copies to follow before the second verification.
    pub(super) wait: Duration,
    /// The sink to verify again; `none` for none.
    pub(super) sink: Option<&'a str>,
}

impl Repair<'_> {
    /// Repairs tables and cache. `None` if the audit found nothing there, and no sink is ahead of the tables.
    pub(super) async fn run(&self, audit: &Audit) -> Result<Option<RepairReport>, Failure> {
        let (newer, above) = audit.sinks.newer();
        if audit.report.is_clean() && newer.is_empty() {
            return Ok(None);
        }
        let database = self.server.connect(CONNECTIONS).await?;
        let report = self.repair(&database, &audit.report, (&newer, above)).await;
        database.close();
        report.map(Some)
    }

    /// `newer` documents get versions above the one named.
    async fn repair(
        &self,
        database: &Database,
        found: &Report,
        (newer, above): (&[Uuid], i64),
    ) -> Result<RepairReport, Failure> {
        let concerned: BTreeSet<Uuid> = found.concerned.iter().map(|(uuid, _)| uuid).collect();
        let documents: Vec<Uuid> = concerned.iter().copied().collect();
        let options = up::writer_options(self.config);
        let repairer = Repairer::new(database.clone(), Arc::clone(&self.compiled.mapping), options);
        let (mut repaired, left) = if self.dry_run {
            (repairer.plan(&documents).await.map_err(Failure::failed)?, Vec::new())
        } else {
            let repaired = repairer.repair(&documents).await.map_err(Failure::failed)?;
            let left = stamp(database, &SystemClock, newer, above).await.map_err(Failure::failed)?;
            (repaired, left)
        };
        add_new_versions(&mut repaired, newer, &left);
        let bodies: Vec<Uuid> = concerned
            .iter()
            .copied()
            .chain(repaired.iter().map(|repair| repair.uuid))
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect();
        if self.dry_run {
            add_planned_bodies(&mut repaired, found);
        }
        let mut report = self.report(found, repaired);
        if self.dry_run {
            report.enqueued = bodies.len() as u64;
            "nothing was changed".clone_into(&mut report.next);
            return Ok(report);
        }
        if bodies.is_empty() {
            // What was found belongs to no document.
            "there are none".clone_into(&mut report.next);
            return Ok(report);
        }
        let runs = self.enqueue(database, &bodies, &mut report).await?;
        report.verified = Some(self.verify_again(database, bodies, runs).await?);
        Ok(report)
    }

    fn report(&self, found: &Report, repaired: Vec<DocumentRepair>) -> RepairReport {
        let underivable = found.differences.iter().filter(|(kind, _)| !kind.is_derivable());
        let documents_more = repaired.len().saturating_sub(DOCUMENTS_SHOWN_JSON) as u64;
        RepairReport {
            dry_run: self.dry_run,
            documents: repaired.into_iter().take(DOCUMENTS_SHOWN_JSON).map(described).collect(),
            documents_more,
            left: underivable.map(|(kind, found)| (kind.name().to_owned(), found.count)).collect(),
            beyond: found.concerned.beyond(),
            ..RepairReport::default()
        }
    }

    /// Enqueues the bodies; returns whether a process runs on the data folder.
    async fn enqueue(&self, database: &Database, bodies: &[Uuid], report: &mut RepairReport) -> Result<bool, Failure> {
        for chunk in bodies.chunks(DOCUMENTS_PER_REQUEST) {
            let request = Request::Rebuild { documents: chunk.to_vec() };
            match control::call::<RebuildEnqueued>(&self.config.data_dir, &request, REPLY_TIMEOUT).await {
                Ok(reply) => report.enqueued += reply.enqueued,
                Err(ControlError::NotRunning(_)) => {
                    let queue = Queue::open(self.config, database).await?;
                    let enqueued = enqueue_rebuilds(database, &*queue.work(), bodies).await;
                    let closed = queue.close().await;
                    report.enqueued = enqueued?;
                    next_step(self.config).clone_into(&mut report.next);
                    return closed.map(|()| false);
                }
                Err(error) => return Err(error.into()),
            }
        }
        "the running process makes them: see `millstream status`".clone_into(&mut report.next);
        Ok(true)
    }

    /// Verifies the documents again, after the running process had time to make their copies.
    async fn verify_again(
        &self,
        database: &Database,
        documents: Vec<Uuid>,
        runs: bool,
    ) -> Result<SecondVerification, Failure> {
        let scope = Scope::Documents(documents);
        let wait = if runs { self.wait } else { Duration::ZERO };
        let (report, _) = audit_scope(database, self.compiled, self.config, &scope, wait).await?;
        let kinds: BTreeMap<String, u64> =
            report.differences.iter().map(|(kind, found)| (kind.name().to_owned(), found.count)).collect();
        let mut second = SecondVerification {
            documents: report.documents,
            differences: report.difference_count(),
            behind: report.behind,
            kinds,
        };
        if runs && self.sink != Some("none") {
            let until = std::time::Instant::now() + self.wait;
            let context = Comparison { compiled: self.compiled, config: self.config, database, repair: false };
            let sinks = context.compare(self.sink, &scope, until).await?;
            second.differences += sinks.differences();
            second.behind += sinks.behind();
        }
        Ok(second)
    }
}

/// Adds the rebuild of the body to the plan of every document concerned.
fn add_planned_bodies(planned: &mut Vec<DocumentRepair>, found: &Report) {
    for_each(planned, found.concerned.iter().map(|(uuid, _)| uuid), |repair| {
        repair.actions.push(RepairAction::RebuildBody);
    });
}

/// Adds a new version to the repair of documents that a sink holds at a newer one. `left` are those that could not be given
/// one now.
fn add_new_versions(repaired: &mut Vec<DocumentRepair>, newer: &[Uuid], left: &[Uuid]) {
    for_each(repaired, newer.iter().copied(), |repair| {
        if left.contains(&repair.uuid) {
            repair.left.push("another transaction held it, or an identity changed: verify once more".to_owned());
        } else if !repair.actions.contains(&RepairAction::NewVersion) {
            repair.actions.push(RepairAction::NewVersion);
        }
    });
}

/// Changes the repairs of these documents, those that have none yet included.
fn for_each(
    repairs: &mut Vec<DocumentRepair>,
    documents: impl Iterator<Item = Uuid>,
    change: impl Fn(&mut DocumentRepair),
) {
    let mut by_id: BTreeMap<Uuid, usize> = repairs.iter().enumerate().map(|(at, repair)| (repair.uuid, at)).collect();
    for uuid in documents {
        let at = *by_id.entry(uuid).or_insert_with(|| {
            repairs.push(DocumentRepair { uuid, ..DocumentRepair::default() });
            repairs.len() - 1
        });
        if let Some(repair) = repairs.get_mut(at) {
            change(repair);
        }
    }
}

fn described(repair: DocumentRepair) -> RepairedDocument {
    RepairedDocument {
        id: repair.uuid.simple().to_string(),
        resource: repair.resource,
        actions: repair.actions.iter().map(ToString::to_string).collect(),
        left: repair.left,
    }
}

/// Describes a repair for people. Writing to a string cannot fail.
pub(super) fn text(report: &RepairReport) -> String {
    let mut text = String::new();
    let documents = report.documents.len() as u64 + report.documents_more;
    let verb = if report.dry_run { "would be repaired" } else { "repaired" };
    _ = writeln!(text, "{verb}: {} documents", grouped(documents));
    for document in report.documents.iter().take(DOCUMENTS_SHOWN) {
        _ = writeln!(text, "    {}", format!("{} {}", document.resource, document.id).trim_start());
        for action in &document.actions {
            _ = writeln!(text, "      {action}");
        }
        for left in &document.left {
            _ = writeln!(text, "      left: {left}");
        }
    }
    if documents > DOCUMENTS_SHOWN as u64 {
        let more = grouped(documents - DOCUMENTS_SHOWN as u64);
        _ = writeln!(text, "    and {more} more; --json lists up to {DOCUMENTS_SHOWN_JSON}");
    }
    for (kind, count) in &report.left {
        _ = writeln!(text, "left, because the rows do not determine it: {kind}: {}", grouped(*count));
    }
    if report.beyond > 0 {
        let beyond = grouped(report.beyond);
        _ = writeln!(text, "{beyond} findings concern further documents: verify once more");
    }
    let bodies = grouped(report.enqueued);
    _ = writeln!(text, "{bodies} bodies are to be made and delivered again: {}", report.next);
    if let Some(second) = &report.verified {
        let (documents, differences) = (grouped(second.documents), grouped(second.differences));
        let behind = grouped(second.behind);
        _ = writeln!(text, "verified again: {documents} documents, {differences} differences, {behind} behind");
        for (kind, count) in &second.kinds {
            _ = writeln!(text, "    {kind}: {}", grouped(*count));
        }
    }
    text
}
