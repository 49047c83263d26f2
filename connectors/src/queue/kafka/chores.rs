//! What has to be written because of what was read, beside what anybody has asked for.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use millstream_pipeline::queue::QueueError;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::producer::{Outgoing, Written};
use super::record;
use super::station::Station;
use super::trim::trim;
use super::window::{Carry, Chore, Held};

/// Entries that are carried in one go.
const CARRIED_MAX: usize = 500;

/// Something to be written.
#[derive(Debug)]
pub(super) enum Errand {
    Chore(Chore),
    /// A record that nobody can read holds its partition until it is kept aside.
    Refuse {
        held: Held,
        value: Option<Vec<u8>>,
        /// What is wrong with it.
        reason: String,
    },
}

/// Does the errands of one station until it ends.
pub(super) async fn run(station: &Arc<Station>, mut errands: mpsc::UnboundedReceiver<Errand>) {
    let options = &station.common.options;
    let (mut trimmed, mut next_trim) = (BTreeMap::new(), Instant::now() + options.trim_interval);
    loop {
        let done = tokio::select! {
            () = station.stop.cancelled() => return,
            errand = errands.recv() => match errand {
                Some(errand) => does(station, errand).await,
                None => return,
            },
            () = tokio::time::sleep(options.commit_interval) => carry_stragglers(station).await,
            () = tokio::time::sleep_until(next_trim) => {
                next_trim = Instant::now() + options.trim_interval;
                trim(station, &mut trimmed).await
            }
        };
        match done {
            Ok(()) => station.announce(),
            Err(QueueError::Closed | QueueError::NoLane { .. }) => return,
            Err(error @ QueueError::Unavailable { .. }) => {
                tracing::warn!(topic = %station.work_topic, %error, "a chore of the queue waits for the brokers");
            }
            // The record stays held, so that it is read again after the next start.
            Err(error) => {
                tracing::error!(topic = %station.work_topic, %error, "a record of the queue stays unfinished")
            }
        }
    }
}

async fn does(station: &Station, errand: Errand) -> Result<(), QueueError> {
    match errand {
        Errand::Chore(Chore::Mirror { document_id }) => {
            let Some(number) = station.window().begin_mirror(document_id) else { return Ok(()) };
            station.mirror(&[document_id]).await?;
            station.window().finish_mirror(document_id, number);
        }
        Errand::Chore(Chore::Forget { document_id, held }) => {
            station.mirror(&[document_id]).await?;
            station.window().let_go(held);
        }
        Errand::Refuse { held, value, reason } => {
            let kept = station.keep_refused((held.partition, held.offset), value, reason).await;
            station.refused.fetch_sub(1, Ordering::Relaxed);
            kept?;
            station.window().let_go(held);
        }
    }
    Ok(())
}

async fn carry_stragglers(station: &Station) -> Result<(), QueueError> {
    let behind = i64::from(station.common.options.held_behind_max);
    let carries = station.window().carry_stragglers(behind, CARRIED_MAX);
    if carries.is_empty() {
        return Ok(());
    }
    let written = carry(station, &carries).await;
    let mut window = station.window();
    match &written {
        Ok(written) => {
            let offsets = written.iter().map(|written| written.map(|written| written.offset));
            carries.iter().zip(offsets).for_each(|(carry, offset)| window.finish_carry(carry, offset));
        }
        Err(_) => carries.iter().for_each(|carry| window.finish_carry(carry, None)),
    }
    written.map(|_| ())
}

/// Writes entries again, as they are now, and tells where.
pub(super) async fn carry(station: &Station, carries: &[Carry]) -> Result<Vec<Option<Written>>, QueueError> {
    let member = station.member_id;
    let record = |carry: &Carry| station.entry(carry.entry.work.document_id, record::carried(carry, member));
    let records: Vec<Outgoing> = carries.iter().map(record).collect();
    let written = station.common.producer.write(&records, |_| station.alive().is_ok()).await?;
    station.alive()?;
    Ok(written)
}
