//! Faults of the network between the processes and the database.

use super::under_traffic;
use crate::installation::Installation;
use crate::support::random::Random;
use std::time::{Duration, Instant};

/// A host that vanished is noticed and left within this time: the probes of TCP take half of it.
const NOTICED: Duration = Duration::from_secs(60);
const DELAY: Duration = Duration::from_millis(30);
const SLOW: Duration = Duration::from_secs(4);
const CUTS: usize = 6;

/// The connections that exist get no more packets; the host at the same address accepts new ones.
pub(super) async fn hung_peer(installation: &mut Installation, random: &mut Random) {
    let Installation { traffic, proxy, .. } = installation;
    let fault = async {
        proxy.black_hole();
        let begun = Instant::now();
        // Over as soon as a write on a new connection is answered again and again.
        let mut answered = 0;
        while answered < 40 && begun.elapsed() < NOTICED {
            let student = traffic.new_student();
            let created = tokio::time::timeout(Duration::from_secs(2), traffic.create(&student, "Hung")).await;
            answered = if matches!(created, Ok(Some(_))) { answered + 1 } else { 0 };
        }
    };
    under_traffic(traffic, random, fault).await;
}

/// A slow network delays each message.
pub(super) async fn slow(installation: &mut Installation, random: &mut Random) {
    let Installation { traffic, proxy, .. } = installation;
    let fault = async {
        proxy.slow_down(DELAY);
        tokio::time::sleep(SLOW).await;
        proxy.restore();
    };
    under_traffic(traffic, random, fault).await;
}

/// Cuts all connections a few times, and refuses new ones for a moment.
pub(super) async fn cuts(installation: &mut Installation, random: &mut Random) {
    let Installation { traffic, proxy, .. } = installation;
    let mut own = random.split();
    let fault = async {
        for _ in 0..CUTS {
            proxy.cut();
            tokio::time::sleep(own.between(Duration::from_millis(50), Duration::from_millis(700))).await;
        }
        proxy.refuse();
        tokio::time::sleep(own.between(Duration::from_millis(500), Duration::from_secs(3))).await;
        proxy.restore();
    };
    under_traffic(traffic, random, fault).await;
}
