//! The database behind the address becomes an earlier one.

use super::write_for;
use crate::installation::Installation;
use crate::support::random::Random;
use std::time::Duration;

/// Writes of each phase. The writes that are lost must be more than the 32 values that a sequence is logged ahead, so that
/// their ids are given out again.
const PHASE: Duration = Duration::from_secs(4);
/// Segments of the log that are skipped at the end: the log passes the position that the queue had before.
const SEGMENTS: usize = 4;

/// Puts back the data directory of a few seconds ago while the processes run.
pub(super) async fn restore(installation: &mut Installation, random: &mut Random) {
    write_for(&installation.traffic, random, PHASE / 2).await;
    let copy = installation.cluster.copy_data().await;
    let memory = remember(installation);
    write_for(&installation.traffic, random, PHASE).await;
    read_all(installation).await;
    installation.cluster.put_back(&copy).await;
    go_on_after_loss(installation, memory, random).await;
}

/// Promotes a standby that lacks the last seconds, and leads the processes to it.
pub(super) async fn promote(installation: &mut Installation, random: &mut Random) {
    let standby = installation.cluster.standby().await;
    write_for(&installation.traffic, random, PHASE / 2).await;
    standby.fall_behind(&installation.cluster).await;
    let memory = remember(installation);
    write_for(&installation.traffic, random, PHASE).await;
    read_all(installation).await;
    installation.cluster.crash().await;
    standby.promote().await;
    installation.proxy.redirect(standby.address());
    installation.cluster = standby;
    go_on_after_loss(installation, memory, random).await;
}

/// The clients' memory: answered writes, and the student of each enrolment.
type Memory = (Vec<(uuid::Uuid, crate::support::answered_writes::Known)>, std::collections::BTreeMap<String, String>);

fn remember(installation: &Installation) -> Memory {
    let traffic = &installation.traffic;
    (traffic.writes.all(), traffic.enrolments.lock().clone())
}

/// Reads every enrolment, so that the processes that compose bodies have seen every student.
async fn read_all(installation: &Installation) {
    let paths: Vec<String> = installation.traffic.enrolments.lock().keys().cloned().collect();
    for path in paths {
        installation.traffic.get(&path).await;
    }
}

/// Clients forget what the database lost, and write other documents, which get the ids of the lost ones.
async fn go_on_after_loss(installation: &mut Installation, memory: Memory, random: &mut Random) {
    installation.traffic.writes.return_to(memory.0);
    *installation.traffic.enrolments.lock() = memory.1;
    let admin = installation.session().await;
    installation.supervise().await;
    installation.wait_ready(Duration::from_secs(60)).await;
    write_for(&installation.traffic, random, PHASE).await;
    for _ in 0..SEGMENTS {
        admin.batch_execute("SELECT pg_switch_wal()").await.expect("the log can be switched");
        write_for(&installation.traffic, random, PHASE / 8).await;
    }
}
