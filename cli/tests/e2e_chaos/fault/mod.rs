//! The injection of faults, one file per place where they happen.

pub(crate) mod certificate;
pub(crate) mod clock;
pub(crate) mod disk;
mod lock;
mod memory;
mod network;
mod restore;
mod service;
mod setting;
mod slow_client;

use crate::installation::Installation;
use crate::kind::Kind;
use crate::support::random::Random;
use crate::traffic::Traffic;
use futures::FutureExt;
use futures::future::LocalBoxFuture;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Writes before a fault.
const BEFORE: (Duration, Duration) = (Duration::from_millis(500), Duration::from_millis(1_500));
/// Writes after a fault.
const AFTER: Duration = Duration::from_millis(800);

/// The reason why this machine cannot show a fault, if it cannot.
pub(crate) fn impossible(kind: Kind) -> Option<String> {
    match kind {
        Kind::QueueDisk | Kind::WalDisk | Kind::IndexDisk => disk::impossible(),
        Kind::Clock => clock::impossible(),
        _ => None,
    }
}

/// Injects a fault while clients write, and ends it. Returns findings that only the injection can see.
pub(crate) async fn inject(kind: Kind, installation: &mut Installation, random: &mut Random) -> Vec<String> {
    match kind {
        Kind::Restore | Kind::RestoreRoles => restore::restore(installation, random).await,
        Kind::Promotion => restore::promote(installation, random).await,
        Kind::ReadOnly => setting::read_only(installation, random).await,
        Kind::RoleTimeouts => setting::role_timeouts(installation, random).await,
        Kind::StatementTimeouts => setting::statement_timeouts(installation, random).await,
        Kind::HungPeer => network::hung_peer(installation, random).await,
        Kind::SlowNetwork => network::slow(installation, random).await,
        Kind::Cuts => network::cuts(installation, random).await,
        Kind::Certificate => certificate::exchange(installation, random).await,
        Kind::RowLock => lock::row(installation, random).await,
        Kind::TableLock => lock::table(installation, random).await,
        Kind::AdvisoryLock => lock::advisory(installation, random).await,
        Kind::QueueDisk => disk::fill(installation, disk::QUEUE, random).await,
        Kind::IndexDisk => disk::fill(installation, disk::INDEX, random).await,
        Kind::WalDisk => disk::fill_wal(installation, random).await,
        Kind::Clock => clock::step(installation, random).await,
        Kind::Memory => return memory::exhaust(installation).await,
        Kind::SlowClients => return slow_client::crowd(installation, random).await,
        Kind::OpenSearchStatus => service::statuses(installation, random).await,
        Kind::OpenSearchTruncated => service::truncated(installation, random).await,
        Kind::KafkaPaused => service::broker_pause(installation, random).await,
    }
    Vec::new()
}

/// Lets clients write before, during and after a fault. Boxed: the clients' requests make a large future.
fn under_traffic<'a>(
    traffic: &'a Traffic,
    random: &'a mut Random,
    fault: impl Future<Output = ()> + 'a,
) -> LocalBoxFuture<'a, ()> {
    let fault = fault.boxed_local();
    async move {
        let (before, stop, mut own) = (random.between(BEFORE.0, BEFORE.1), CancellationToken::new(), random.split());
        let faulting = async {
            tokio::time::sleep(before).await;
            fault.await;
            tokio::time::sleep(AFTER).await;
            stop.cancel();
        };
        tokio::join!(traffic.run(&mut own, &stop), faulting);
    }
    .boxed_local()
}

/// Lets clients write for a while.
async fn write_for(traffic: &Traffic, random: &mut Random, time: Duration) {
    under_traffic(traffic, random, tokio::time::sleep(time)).await;
}
