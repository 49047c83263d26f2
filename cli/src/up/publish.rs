//! `millstream publish`: copies the replication slot into the change topic of this installation, for processes with
//! `source.kind = topic`.
//!
//! The publisher keeps nothing on this machine, so it needs neither the schema nor a data folder of its own. A second
//! publisher is a standby.

use super::{
    options,
    source::{brokers, slot_options},
};
use crate::{
    config::{Config, SourceKind},
    exit::Exit,
    failure::{Failure, Outcome},
    signal::Signals,
    telemetry::{
        self,
        metrics::{PUBLISH_CHANGES, PUBLISH_CONNECTED},
        recorder,
    },
};
use metrics::{counter, gauge};
use millstream_api::{Check, StatusParts, serve_status};
use millstream_connectors::source::slot::LogicalOptions;
use millstream_connectors::source::topic::{ChangeTopicOptions, Publisher, RecordForm};
use std::{io::Write, sync::Arc, time::Duration};
use tokio::{net::TcpListener, time::timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{Instrument, info_span};

/// Interval of the confirmations to the server. Waits for a copy depend on it.
const CONFIRM_INTERVAL: Duration = Duration::from_millis(250);
/// Pause between two exports of the metrics.
const METRICS_INTERVAL: Duration = Duration::from_secs(1);

/// Publishes until a signal arrives. Writes one line with the address of health and metrics to `out`.
pub async fn run(config: Config, out: &mut (dyn Write + Send)) -> Outcome {
    publish(config, out).instrument(info_span!("process", role = "publish")).await
}

async fn publish(config: Config, out: &mut (dyn Write + Send)) -> Outcome {
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
    let (running, stopping) = (Arc::clone(&publisher), stop.clone());
    tasks.spawn(telemetry::task("publisher", async move { running.run(&stopping).await }));
    let public_url = config.api.public_url.clone();
    let serving = serve_status(listener, parts, public_url, stop.clone(), options::server(&config));
    tasks.spawn(telemetry::task("status", serving));
    tasks.spawn(telemetry::task("publish_metrics", export_metrics(Arc::clone(&publisher), stop.clone())));
    tasks.spawn(telemetry::task("recorder", recorder::maintain(recorder, stop.clone())));
    tasks.close();
    writeln!(out, "Millstream is ready at {address} (publishing)")
        .and_then(|()| out.flush())
        .map_err(Failure::failed)?;

    let signal = signals.next().await;
    tracing::info!(signal, "stopping");
    stop.cancel();
    if timeout(config.shutdown_deadline, tasks.wait()).await.is_err() {
        tracing::warn!("cut off work in flight; unconfirmed changes are written again after the next start");
    }
    Ok(Exit::Done)
}

/// Builds the publisher, or reports what the configuration lacks for it.
fn publisher(config: &Config) -> Result<Publisher, Failure> {
    let topic = match &config.source.kind {
        SourceKind::Topic(topic) if topic.form == RecordForm::Millstream => topic,
        _ => {
            return Err(Failure::usage(
                "`millstream publish` fills the change topic of this installation: set source.kind = topic and \
                 source.topic, as for the processes that read it",
            ));
        }
    };
    let Some(database) = &config.database.url else {
        return Err(Failure::usage(
            "`millstream publish` follows a database that other processes share: set database.url",
        ));
    };
    let slot = LogicalOptions {
        application_name: "millstream publish".to_owned(),
        status_interval: CONFIRM_INTERVAL,
        idle_interval: CONFIRM_INTERVAL,
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

/// The check of `/health/ready`. A standby, and a publisher that cannot reach the database or the brokers, is not ready.
fn check(publisher: &Publisher) -> Check {
    let ok = publisher.status().connected;
    let detail = "no changes arrive: this publisher is a standby, or the log has the error";
    Check { name: "publisher", ok, detail: (!ok).then(|| detail.to_owned()) }
}

async fn export_metrics(publisher: Arc<Publisher>, stop: CancellationToken) {
    loop {
        let status = publisher.status();
        gauge!(PUBLISH_CONNECTED).set(f64::from(u8::from(status.connected)));
        counter!(PUBLISH_CHANGES).absolute(status.changes);
        if stop.run_until_cancelled(tokio::time::sleep(METRICS_INTERVAL)).await.is_none() {
            return;
        }
    }
}
