//! Faults of the world around Millstream: the database behind the address is another one, is read-only, hangs, or is
//! configured by somebody else; services refuse, truncate and stand still; disks fill up; clocks step.
//!
//! Real servers stand behind proxies that the trials control. After each trial every copy must agree with the tables,
//! every answered write must be stored, no deleted document may be back, nothing may be in quarantine, and requests for
//! an unrelated document must have been answered in time. `scripts/chaos` runs it; the seed is printed and repeats a run.

mod check;
mod fault;
mod installation;
mod kind;
mod layout;
mod services;
#[path = "../support/mod.rs"]
mod support;
mod traffic;
mod trial;

use kind::Kind;
use std::str::FromStr;

/// Default number of trials of the long form.
const TRIALS_LONG: usize = 200;

/// Trials of the short form.
const TRIALS_SHORT: usize = 20;

/// Kinds of the short form, the quick ones first: all that need neither a mount namespace nor minutes.
const KINDS_SHORT: [Kind; 16] = [
    Kind::SlowNetwork,
    Kind::Cuts,
    Kind::StatementTimeouts,
    Kind::ReadOnly,
    Kind::RowLock,
    Kind::RoleTimeouts,
    Kind::AdvisoryLock,
    Kind::TableLock,
    Kind::OpenSearchTruncated,
    Kind::Promotion,
    Kind::Restore,
    Kind::SlowClients,
    Kind::KafkaPaused,
    Kind::Certificate,
    Kind::OpenSearchStatus,
    Kind::HungPeer,
];

/// The short form.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_copy_agrees_after_twenty_faults_outside() {
    let differences = trial::run(&KINDS_SHORT, TRIALS_SHORT).await;
    assert_eq!(differences, 0, "trials ended with differences: the table above names them");
}

/// `make chaos`. The environment of `scripts/chaos`: `MILLSTREAM_TORTURE_TRIALS` (number), `MILLSTREAM_TEST_CHAOS` (kinds,
/// separated by commas), `MILLSTREAM_SEED`.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "takes more than an hour: make chaos"]
async fn every_copy_agrees_after_any_fault_outside() {
    let kinds: Vec<Kind> = match std::env::var("MILLSTREAM_TEST_CHAOS") {
        Ok(names) => {
            names.split(',').map(|name| Kind::from_str(name).unwrap_or_else(|error| panic!("{error}"))).collect()
        }
        Err(_) => Kind::ALL.to_vec(),
    };
    let trials = std::env::var("MILLSTREAM_TORTURE_TRIALS").map_or(TRIALS_LONG, |text| {
        text.parse().unwrap_or_else(|error| panic!("invalid MILLSTREAM_TORTURE_TRIALS {text:?}: {error}"))
    });
    let differences = trial::run(&kinds, trials).await;
    assert_eq!(differences, 0, "trials ended with differences: the table above names them");
}
