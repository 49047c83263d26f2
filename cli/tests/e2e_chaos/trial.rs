//! The run: trials by kind on installations that are made again after a difference, and the account at the end.

use crate::check;
use crate::fault;
use crate::installation::Installation;
use crate::kind::Kind;
use crate::layout::Layout;
use crate::services::Services;
use crate::support::random::Random;
use crate::support::report;
use crate::traffic::Seen;
use futures::FutureExt;
use std::any::Any;
use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Limit of one trial.
const TRIAL_MAX: Duration = Duration::from_secs(360);

/// The outcomes of the trials of a kind.
#[derive(Debug, Default)]
struct Account {
    passed: usize,
    differed: usize,
    skipped: Option<String>,
    first: Option<String>,
    get_longest: Duration,
}

/// Runs trials of the kinds in turn, prints the account, and returns how many ended with a difference.
pub(crate) async fn run(kinds: &[Kind], trials: usize) -> usize {
    let (started, mut random) = (Instant::now(), Random::seeded("chaos"));
    let services = Arc::new(Services::default());
    let mut installations: BTreeMap<Layout, Installation> = BTreeMap::new();
    let mut accounts: BTreeMap<Kind, Account> = BTreeMap::new();
    for (trial, kind) in (0..trials).map(|trial| (trial, kinds[trial % kinds.len()])) {
        let account = accounts.entry(kind).or_default();
        if let Some(reason) = fault::impossible(kind) {
            if account.skipped.is_none() {
                report!("trial {trial}: {kind}: SKIPPED: {reason}");
            }
            account.skipped = Some(reason);
            continue;
        }
        let (begun, layout) = (Instant::now(), kind.layout());
        let (present, mut own) = (installations.remove(&layout), random.split());
        let one = AssertUnwindSafe(Box::pin(one(kind, present, Arc::clone(&services), &mut own))).catch_unwind();
        let (findings, seen) = match one.await {
            Ok((findings, seen, installation)) => {
                if findings.is_empty() && kind.leaves_all_in_place() {
                    installations.insert(layout, installation);
                } else {
                    installation.end().await;
                }
                (findings, seen)
            }
            Err(panic) => (vec![message(panic.as_ref())], Seen::default()),
        };
        account.get_longest = account.get_longest.max(seen.get_longest);
        let outcome =
            if findings.is_empty() { "passed".to_owned() } else { format!("DIFFERS: {}", findings.join("; ")) };
        report!(
            "trial {trial}: {kind}: {outcome} ({:.0?}; {} writes answered, {} unavailable, {} failed, {} refused, {} silent; \
             longest GET {:.1?}, {} of {} failed)",
            begun.elapsed(),
            seen.answered,
            seen.unavailable,
            seen.failed,
            seen.refused,
            seen.silent,
            seen.get_longest,
            seen.gets_failed,
            seen.gets
        );
        if findings.is_empty() {
            account.passed += 1;
        } else {
            account.differed += 1;
            account.first.get_or_insert(findings.join("; "));
        }
    }
    for installation in installations.into_values() {
        installation.end().await;
    }
    summarize(&accounts, started.elapsed())
}

/// Runs one trial; returns the installation too, which another trial may use.
async fn one(
    kind: Kind,
    present: Option<Installation>,
    services: Arc<Services>,
    random: &mut Random,
) -> (Vec<String>, Seen, Installation) {
    let mut installation = match present {
        Some(installation) => installation,
        None => Installation::new(kind.layout(), services).await,
    };
    *installation.traffic.seen.lock() = Seen::default();
    let attempt = tokio::time::timeout(
        TRIAL_MAX,
        AssertUnwindSafe(Box::pin(attempt(kind, &mut installation, random))).catch_unwind(),
    );
    let findings = match attempt.await {
        Ok(attempt) => attempt.unwrap_or_else(|panic| vec![message(panic.as_ref())]),
        Err(_) => vec![format!("the trial was not over after {TRIAL_MAX:?}")],
    };
    let seen = installation.traffic.seen.lock().clone();
    if !findings.is_empty() {
        report!("{}", installation.logs());
    }
    (findings, seen, installation)
}

async fn attempt(kind: Kind, installation: &mut Installation, random: &mut Random) -> Vec<String> {
    let mut findings = Box::pin(fault::inject(kind, installation, random)).await;
    let ended = installation.supervise().await;
    // What the requests of the checks get does not count.
    let seen = installation.traffic.seen.lock().clone();
    findings.extend(check::findings(kind, installation, &seen).await);
    *installation.traffic.seen.lock() = seen;
    if ended > 0 && !findings.is_empty() {
        findings.push(format!("{ended} processes had ended and were started again"));
    }
    findings
}

/// Prints what came of each kind; returns the number of trials with a difference.
fn summarize(accounts: &BTreeMap<Kind, Account>, elapsed: Duration) -> usize {
    report!("\n{:20} passed  differ  longest GET  first difference", "kind");
    let mut totals = (0, 0);
    for (kind, account) in accounts {
        let Account { passed, differed, skipped, first, get_longest } = account;
        let remark = match (first, skipped) {
            (Some(first), _) => excerpt(first),
            (None, Some(reason)) => format!("skipped: {reason}"),
            (None, None) => String::new(),
        };
        report!("{kind:20} {passed:6}  {differed:6}  {:>11}  {remark}", format!("{get_longest:.1?}"));
        totals = (totals.0 + passed + differed, totals.1 + differed);
    }
    report!("{} trials in {elapsed:.0?}", totals.0);
    report!("differences: {}", totals.1);
    totals.1
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_else(|| "a panic".to_owned())
}

fn excerpt(text: &str) -> String {
    const SHOWN: usize = 400;
    text[..text.floor_char_boundary(SHOWN)].replace('\n', " | ")
}
