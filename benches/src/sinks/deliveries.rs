//! The deliveries for measuring a sink alone: rows of the cache, in batches as a lane delivers them.

use crate::failure::Failure;
use bytes::Bytes;
use futures::stream::{self, StreamExt, TryStreamExt};
use jiff::Timestamp;
use millstream_pipeline::sink::{Content, Delivery, DocumentKey, Outcome, Sink};
use millstream_store::compose::envelope;
use millstream_store::connect::Session;
use std::time::Instant;
use uuid::Uuid;

/// Selects an even sample of the cache in key order, so that all types are included.
const SQL: &str = r#"
SELECT "DocumentUuid", "ResourceKeyId", "ContentVersion", "LastModifiedAt", "Body"
FROM (SELECT c.*, row_number() OVER (ORDER BY "DocumentId") AS n, count(*) OVER () AS total FROM "dms"."DocumentCache" c) c
WHERE n * $1::int8 / total > (n - 1) * $1::int8 / total ORDER BY "DocumentId""#;

/// Reads at most `count` documents from the cache.
pub(super) async fn read(session: &Session, count: usize) -> Result<Vec<Delivery>, Failure> {
    let mut deliveries = Vec::new();
    for row in session.query(SQL, &[&i64::try_from(count)?]).await? {
        let (uuid, version, at): (Uuid, i64, Timestamp) = (row.try_get(0)?, row.try_get(2)?, row.try_get(3)?);
        let json = envelope(row.try_get::<_, &str>(4)?.as_bytes(), uuid, version, at);
        let key = DocumentKey { uuid, resource_key: row.try_get(1)? };
        deliveries.push(Delivery { key, version, content: Content::Document(Bytes::from(json)), repair: false });
    }
    Ok(deliveries)
}

/// Increments the version of every delivery.
pub(super) fn increment_versions(deliveries: &mut [Delivery]) {
    deliveries.iter_mut().for_each(|delivery| delivery.version += 1);
}

/// Splits deliveries into batches of the maximum size that the sink accepts.
pub(super) fn batches<'a>(deliveries: &'a [Delivery], sink: &dyn Sink) -> Vec<&'a [Delivery]> {
    let limits = sink.limits();
    let (mut batches, mut rest) = (Vec::new(), deliveries);
    while !rest.is_empty() {
        let mut bytes = 0;
        let fits = |delivery: &&Delivery| {
            bytes += delivery.bytes();
            bytes <= limits.batch_bytes_max
        };
        let count = rest.iter().take(limits.batch_documents_max).take_while(fits).count().max(1);
        let (batch, later) = rest.split_at(count);
        batches.push(batch);
        rest = later;
    }
    batches
}

/// Puts all deliveries with as many batches in flight as the sink accepts; returns documents per second.
pub(super) async fn put(sink: &dyn Sink, deliveries: &[Delivery]) -> Result<f64, Failure> {
    let batches = batches(deliveries, sink);
    let started = Instant::now();
    let puts: Vec<_> = batches.into_iter().map(|batch| put_one(sink, batch)).collect();
    stream::iter(puts).buffer_unordered(sink.limits().in_flight_max).try_collect::<()>().await?;
    Ok(deliveries.len() as f64 / started.elapsed().as_secs_f64())
}

/// Reads all versions in the sink, as `millstream verify` does; returns versions per second.
pub(super) async fn scan(sink: &dyn Sink) -> Result<f64, Failure> {
    let started = Instant::now();
    let (mut scan, mut count) = (sink.scan().await?, 0);
    loop {
        let page = scan.next().await?;
        if page.is_empty() {
            return Ok(count as f64 / started.elapsed().as_secs_f64());
        }
        count += page.len();
    }
}

async fn put_one(sink: &dyn Sink, batch: &[Delivery]) -> Result<(), Failure> {
    match sink.put(batch).await.into_iter().find(|outcome| *outcome != Outcome::Done) {
        None => Ok(()),
        Some(outcome) => Err(format!("a delivery ended with {outcome:?}").into()),
    }
}
