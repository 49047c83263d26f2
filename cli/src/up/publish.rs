//! `millstream publish`: the slot into our own change topic, for as many as have `source.kind = topic`.
//!
//! It keeps nothing on this machine, so it needs neither the schema nor a data folder of its own. A second one stands by.

use super::{
    options, recorder,
    source::{brokers, slot_options},
};
use crate::{
    command::Outcome,
    config::{Config, SourceKind},
    exit::Exit,
    failure::Failure,
    signal::Signals,
};
use metrics::{Unit, counter, describe_counter, describe_gauge, gauge};
use millstream_api::{Check, StatusParts, serve_status};
use millstream_connectors::source::slot::LogicalOptions;
use millstream_connectors::source::topic::{ChangeTopicOptions, Publisher, RecordForm};
use std::{io::Write, sync::Arc, time::Duration};
use tokio::{net::TcpListener, time::timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Counter: changes written to the topic.
pub(crate) const PUBLISHED: &str = "millstream_publish_changes_total";
/// Gauge: 1 while changes arrive from the slot.
pub(crate) const CONNECTED: &str = "millstream_publish_connected";

/// Tells the recorder what these metrics are.
pub(super) fn describe() {
    describe_counter!(PUBLISHED, Unit::Count, "Change records written to our own change topic");
    describe_gauge!(CONNECTED, "1 while change records arrive at `millstream publish`");
}

/// How soon the server learns what is in the topic: whoever waits for a copy to catch up waits for that.
const REPORT_EVERY: Duration = Duration::from_millis(250);
/// Pause between two rounds of the metrics.
const METRICS_EVERY: Duration = Duration::from_secs(1);

/// Publishes until told to stop. `out` gets one line with the address of health and metrics.
pub async fn run(config: Config, out: &mut (dyn Write + Send)) -> Outcome {
    let publisher = Arc::new(publisher(&config)?);
    let mut signals = Signals::take_over().map_err(Failure::failed)?;
    let listen = config.api.listen;
    let listener = TcpListener::bind(listen)
        .await
        .map_err(|error| Failure::failed(format!("cannot listen on {listen}: {error}; choose another --api-listen")))?;
    let address = format!("http://{}", listener.local_addr().map_err(Failure::failed)?);
    let recorder = recorder::install()?;
    let rendered = recorder.clone();
    let probed = Arc::clone(&publisher);
    let parts = StatusParts {
        probe: Arc::new(move || Box::pin(std::future::ready(vec![check(&probed)]))),
        metrics: Arc::new(move || rendered.render()),
    };

    let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
    let (own, stopping) = (Arc::clone(&publisher), stop.clone());
    tasks.spawn(async move { own.run(&stopping).await });
    tasks.spawn(serve_status(listener, parts, stop.clone(), options::server(&config)));
    tasks.spawn(measure(Arc::clone(&publisher), stop.clone()));
    tasks.spawn(super::upkeep::metrics(recorder, stop.clone()));
    tasks.close();
    writeln!(out, "Millstream is ready at {address} (publishing)")
        .and_then(|()| out.flush())
        .map_err(Failure::failed)?;

    let signal = signals.next().await;
    tracing::info!(signal, "stopping");
    stop.cancel();
    if timeout(config.shutdown_deadline, tasks.wait()).await.is_err() {
        tracing::warn!("work in hand was cut off: what was not confirmed is written again after the next start");
    }
    Ok(Exit::Done)
}

/// What is to be published where, or what the configuration lacks for it.
fn publisher(config: &Config) -> Result<Publisher, Failure> {
    let topic = match &config.source.kind {
        SourceKind::Topic(topic) if topic.form == RecordForm::Millstream => topic,
        _ => {
            return Err(Failure::usage(
                "`millstream publish` fills our own change topic: set source.kind = topic and source.topic, as for the \
                 processes that read it",
            ));
        }
    };
    let Some(database) = &config.database.url else {
        return Err(Failure::usage(
            "`millstream publish` follows a database that others use as well: set database.url",
        ));
    };
    let slot = LogicalOptions {
        application_name: "millstream publish".to_owned(),
        status_interval: REPORT_EVERY,
        idle_interval: REPORT_EVERY,
        ..slot_options(database, &config.source)
    };
    let kafka = brokers(config)?;
    let topic = ChangeTopicOptions {
        replication: kafka.replication,
        in_sync_min: kafka.in_sync_min,
        properties: kafka.exposed_properties(),
        ..ChangeTopicOptions::new(&kafka.bootstrap_servers, &topic.name)
    };
    Ok(Publisher::new(slot, topic))
}

/// For `/health/ready`: a publisher that stands by, or cannot reach somebody, is not ready.
fn check(publisher: &Publisher) -> Check {
    let ok = publisher.status().connected;
    let detail = "no changes arrive: it stands by for another publisher, or the log says what is wrong";
    Check { name: "publisher", ok, detail: (!ok).then(|| detail.to_owned()) }
}

async fn measure(publisher: Arc<Publisher>, stop: CancellationToken) {
    loop {
        let status = publisher.status();
        gauge!(CONNECTED).set(f64::from(u8::from(status.connected)));
        counter!(PUBLISHED).absolute(status.changes);
        if stop.run_until_cancelled(tokio::time::sleep(METRICS_EVERY)).await.is_none() {
            return;
        }
    }
}
