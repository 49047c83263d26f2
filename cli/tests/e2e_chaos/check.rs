//! The checks after a trial.

use crate::installation::Installation;
use crate::kind::Kind;
use crate::support::answered_writes::Known;
use crate::support::http::Reply;
use crate::traffic::{Seen, Traffic};
use millstream_testkit::wait_for;
use serde_json::Value;
use std::time::{Duration, Instant};

/// Limit for the API to be ready and to accept a write after the end of a fault.
const SERVICE: Duration = Duration::from_secs(60);
/// Pause before a document is read again.
const AGAIN: Duration = Duration::from_millis(100);
/// Examples in a finding.
const EXAMPLES: usize = 3;

/// Checks everything; returns the findings.
pub(crate) async fn findings(kind: Kind, installation: &Installation, seen: &Seen) -> Vec<String> {
    let mut found = Vec::new();
    installation.wait_ready(SERVICE).await;
    let traffic = &installation.traffic;
    let student = traffic.new_student();
    wait_for("a write to be accepted after the fault", SERVICE, || traffic.create(&student, "After")).await;
    // Only the end of a fault is waited for: what its requests got is judged by kind.
    let is_about_answers =
        matches!(kind, Kind::ReadOnly | Kind::RoleTimeouts | Kind::StatementTimeouts | Kind::Certificate | Kind::Cuts);
    if is_about_answers && seen.failed > 0 {
        let example = seen.example.clone().unwrap_or_default();
        found.push(format!("{} answers ask for no retry, such as: {example}", seen.failed));
    }
    if let Some(max) = kind.get_max() {
        if seen.get_longest > max {
            found.push(format!("a GET of an unrelated document took {:.1?}", seen.get_longest));
        }
        // Clients that ask and do not read are a load, which the server may turn away.
        let turned_away = if kind == Kind::SlowClients { seen.gets_unavailable } else { 0 };
        let failed = seen.gets_failed - turned_away;
        if failed > 0 {
            found.push(format!("{failed} of {} GETs of an unrelated document failed", seen.gets));
        }
    }
    if seen.gets == 0 {
        found.push("no GET of an unrelated document was made".to_owned());
    }
    found.extend(copies(installation).await);
    found.extend(quarantine(installation).await);
    found.extend(answered_writes(installation).await);
    found
}

/// Compares the cache and all sinks with the tables.
async fn copies(installation: &Installation) -> Option<String> {
    let (code, text) = installation.command(&["verify", "--wait-s=60"]).await;
    let agrees = code == Some(0) && text.lines().any(|line| line == "differences: 0");
    (!agrees).then(|| format!("verify ended with {code:?}: {}", last_lines(&text)))
}

async fn quarantine(installation: &Installation) -> Option<String> {
    let setup = &installation.projector().setup;
    let (code, text) = crate::support::process::run(setup, &["--log-level=error", "quarantine", "list"]).await;
    let is_empty = code == Some(0) && text.ends_with("in quarantine: 0\n");
    (!is_empty).then(|| format!("quarantine ({code:?}): {}", last_lines(&text)))
}

/// Reads every document with an answered write, and the student of every enrolment.
async fn answered_writes(installation: &Installation) -> Vec<String> {
    let traffic = &installation.traffic;
    let enrolments = traffic.enrolments.lock().clone();
    let other_student = |known: &Known, body: &Value| {
        let (student, named) = (enrolments.get(&known.path)?, &body["studentReference"]["studentUniqueId"]);
        (named != student).then(|| format!("student {named} instead of {student:?}"))
    };
    let found = traffic.writes.contradictions(async |path| settled(traffic, path).await, other_student).await;
    if found.is_empty() {
        return Vec::new();
    }
    let count = traffic.writes.all().len();
    vec![format!("{} of {count} answered writes: {:?}", found.len(), &found[..found.len().min(EXAMPLES)])]
}

/// Reads a document. An answer that asks for a retry says nothing about it.
async fn settled(traffic: &Traffic, path: &str) -> Option<Reply> {
    let until = Instant::now() + SERVICE;
    loop {
        match traffic.get(path).await {
            Some(Reply { status: 503, .. }) | None if Instant::now() < until => tokio::time::sleep(AGAIN).await,
            reply => return reply,
        }
    }
}

fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().filter(|line| !line.is_empty()).collect();
    lines[lines.len().saturating_sub(6)..].join(" | ")
}
