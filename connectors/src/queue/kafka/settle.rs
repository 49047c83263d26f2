//! Settling: decide, write, let go.
//!
//! In this order: what the lanes get; entries that go on, written again as they are now; the quarantine. Only then do the
//! entries let go of their records. A crash in between does it again, which is harmless: versions guard every write.

use std::sync::Arc;

use millstream_pipeline::queue::{QueueError, SettleReport, Settled, Ticket, Work};

use super::chores;
use super::hub::{Hub, LaneTopic};
use super::patience::patiently;
use super::producer::{Outgoing, Written};
use super::record;
use super::station::Station;
use super::window::{Carry, Settling};

pub(super) async fn settle(
    hub: &Hub,
    station: &Arc<Station>,
    settled: Vec<(Ticket, Settled)>,
) -> Result<SettleReport, QueueError> {
    station.alive()?;
    let mut report = SettleReport::default();
    let settlings = begin(station, settled, &mut report);
    let carried = match write(hub, station, &settlings).await {
        Ok(carried) => carried,
        Err(error) => {
            let mut window = station.window();
            settlings.into_iter().for_each(|settling| window.abort_settle(settling));
            drop(window);
            station.announce();
            return Err(error);
        }
    };
    {
        let mut window = station.window();
        let mut carried = carried.iter();
        for settling in &settlings {
            let at = settling.carry.as_ref().and_then(|_| carried.next().copied().flatten());
            station.hand_over_chore(window.finish_settle(settling, at.map(|written| written.offset)));
            report.count(settling.fate);
        }
    }
    station.announce();
    station.seen(&carried).await;
    Ok(report)
}

fn begin(station: &Station, settled: Vec<(Ticket, Settled)>, report: &mut SettleReport) -> Vec<Settling> {
    let options = &station.common.options;
    let (now_ms, attempts_max) = (options.clock.now_ms(), options.attempts_max.max(1));
    let mut window = station.window();
    let mut settlings = Vec::with_capacity(settled.len());
    for (ticket, settled) in settled {
        match window.begin_settle(ticket, settled, now_ms, attempts_max) {
            Some(settling) => settlings.push(settling),
            None => report.unknown += 1,
        }
    }
    settlings
}

/// Answers where the entries that go on were written.
async fn write(hub: &Hub, station: &Station, settlings: &[Settling]) -> Result<Vec<Option<Written>>, QueueError> {
    if station.lane.is_none() {
        let deliveries: Vec<&Work> = settlings.iter().filter_map(|settling| settling.delivery.as_ref()).collect();
        deliver(hub, &deliveries).await?;
    }
    let carries: Vec<Carry> = settlings.iter().filter_map(|settling| settling.carry.clone()).collect();
    let carried = if carries.is_empty() { Vec::new() } else { chores::carry(station, &carries).await? };
    let mirrored: Vec<i64> =
        settlings.iter().filter(|settling| settling.mirror).map(|settling| settling.document_id).collect();
    station.mirror(&mirrored).await?;
    Ok(carried)
}

/// Adds work to every lane that there is now, whoever added it. A lane that is removed meanwhile wants nothing more.
async fn deliver(hub: &Hub, deliveries: &[&Work]) -> Result<(), QueueError> {
    if deliveries.is_empty() {
        return Ok(());
    }
    let control = &hub.common.control;
    patiently(&hub.common.stop, || control.sync()).await?;
    let lanes = hub.lane_topics()?;
    let records: Vec<Outgoing> = lanes
        .iter()
        .flat_map(|LaneTopic { topic, .. }| {
            deliveries.iter().map(|work| Outgoing {
                topic: Arc::clone(topic),
                partition: None,
                key: record::entry_key(work.document_id),
                value: Some(record::put(work)),
                note: None,
            })
        })
        .collect();
    let is_there =
        |record: &Outgoing| hub.lane_topics().is_ok_and(|lanes| lanes.iter().any(|lane| lane.topic == record.topic));
    let written = hub.common.producer.write(&records, is_there).await?;
    for (LaneTopic { station, .. }, written) in lanes.iter().zip(written.chunks(deliveries.len())) {
        if let Some(station) = station {
            station.seen(written).await;
        }
    }
    Ok(())
}
