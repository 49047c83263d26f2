//! What is delivered when the sinks are measured by themselves: rows of the cache, in the batches that a lane makes.

use crate::setup::Failure;
use bytes::Bytes;
use futures::stream::{self, StreamExt, TryStreamExt};
use jiff::Timestamp;
use millstream_pipeline::sink::{Content, Delivery, DocumentKey, Outcome, Sink};
use millstream_store::compose::envelope;
use millstream_store::connect::Session;
use std::time::Instant;
use uuid::Uuid;

/// Every so many rows of the cache in the order of their keys, so that all types are among them.
const SQL: &str = r#"
SELECT "DocumentUuid", "ResourceKeyId", "ContentVersion", "LastModifiedAt", "Body"
FROM (SELECT c.*, row_number() OVER (ORDER BY "DocumentId") AS n, count(*) OVER () AS total FROM "dms"."DocumentCache" c) c
WHERE n * $1::int8 / total > (n - 1) * $1::int8 / total ORDER BY "DocumentId""#;

/// So many documents out of the cache, at most.
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

/// The same documents as if each had been changed once more.
pub(super) fn newer(deliveries: &mut [Delivery]) {
    deliveries.iter_mut().for_each(|delivery| delivery.version += 1);
}

/// As large as the sink takes them.
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

/// Puts everything, as many batches at a time as the sink takes; documents a second.
pub(super) async fn put(sink: &dyn Sink, deliveries: &[Delivery]) -> Result<f64, Failure> {
    let batches = batches(deliveries, sink);
    let started = Instant::now();
    let puts: Vec<_> = batches.into_iter().map(|batch| put_one(sink, batch)).collect();
    stream::iter(puts).buffer_unordered(sink.limits().in_flight_max).try_collect::<()>().await?;
    Ok(deliveries.len() as f64 / started.elapsed().as_secs_f64())
}

/// Reads back everything that the sink holds, as `millstream verify` does; versions a second.
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
        Some(outcome) => Err(format!("a delivery came to {outcome:?}").into()),
    }
}
