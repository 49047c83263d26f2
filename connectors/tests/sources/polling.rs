//! Faults of the connection of a polling source.

use std::time::Duration;

use millstream_connectors::source::poll::{PollOptions, PollSource};
use millstream_pipeline::Position;
use millstream_pipeline::source::{SourceError, SourceIdentity};

use crate::support::{Bed, Consumer, Kind};

fn poll(bed: &Bed, identity: Option<SourceIdentity>) -> Consumer {
    let options = PollOptions { interval: Duration::from_millis(10), ..PollOptions::default() };
    let source = PollSource::new(bed.database.options().clone(), options, Position::ZERO, identity);
    Consumer::new(Box::new(source), Position::ZERO)
}

#[tokio::test(flavor = "multi_thread")]
async fn ended_sessions_are_replaced() {
    let mut bed = Bed::new(Kind::Poll).await;
    let mut consumer = poll(&bed, None);
    bed.commit([1]).await;
    consumer.read(1).await;
    let end = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
                WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'";
    bed.writer.execute(end, &[]).await.expect("ended");
    bed.commit([2]).await;
    consumer.read(2).await;
    assert_eq!(consumer.documents(), [1, 2]);
    let status = consumer.source.status();
    assert!(status.reconnects >= 1 && status.connected && status.last_error.is_none(), "{status:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_server_is_foreign() {
    let mut bed = Bed::new(Kind::Poll).await;
    let home = millstream_outbox::source_identity(&*bed.writer).await.expect("an identity");
    let elsewhere = SourceIdentity { timeline: home.timeline + 1, ..home.clone() };
    let error = poll(&bed, Some(elsewhere)).error().await;
    assert!(matches!(error, SourceError::Foreign { .. }), "{error}");
    bed.commit([1]).await;
    poll(&bed, Some(home)).read(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_table_is_refused() {
    let bed = Bed::new(Kind::Poll).await;
    bed.writer.batch_execute(r#"DROP TABLE "dms"."Outbox""#).await.expect("dropped");
    let error = poll(&bed, None).error().await;
    assert!(matches!(&error, SourceError::Refused { detail, .. } if detail.contains("Outbox")), "{error}");
}
