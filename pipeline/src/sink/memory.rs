//! The reference sink: a map.

use super::contract::{Held, Limits, Scan, Sink};
use super::delivery::{Content, Delivery, DocumentKey, Outcome};
use super::error::SinkError;
use bytes::Bytes;
use futures::future::{BoxFuture, FutureExt, ready};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::time::Duration;
use uuid::Uuid;

/// Copies that one step of a scan returns.
const PAGE: usize = 100;

/// A sink in memory. Remembers deletes forever.
#[derive(Debug, Default)]
pub struct MemorySink {
    copies: Mutex<BTreeMap<Uuid, (i64, Content)>>,
}

impl MemorySink {
    fn put_one(&self, delivery: &Delivery) -> Outcome {
        let mut copies = self.copies.lock();
        match copies.get(&delivery.key.uuid) {
            Some((version, _)) if *version > delivery.version => Outcome::Superseded,
            Some((version, content)) if *version == delivery.version && !delivery.repair => {
                // Only a repair overwrites other bytes at the same version.
                if *content == delivery.content { Outcome::Done } else { Outcome::Superseded }
            }
            _ => {
                copies.insert(delivery.key.uuid, (delivery.version, delivery.content.clone()));
                Outcome::Done
            }
        }
    }
}

impl Sink for MemorySink {
    fn describe(&self) -> String {
        "a map in memory".to_owned()
    }

    fn prepare(&self) -> BoxFuture<'_, Result<(), SinkError>> {
        ready(Ok(())).boxed()
    }

    fn limits(&self) -> Limits {
        Limits {
            batch_documents_max: 100,
            batch_bytes_max: 1 << 20,
            in_flight_max: 4,
            request_life_max: Duration::ZERO,
            delete_memory: Duration::MAX,
            guards_versions: true,
        }
    }

    fn put<'a>(&'a self, deliveries: &'a [Delivery]) -> BoxFuture<'a, Vec<Outcome>> {
        ready(deliveries.iter().map(|delivery| self.put_one(delivery)).collect()).boxed()
    }

    fn fetch<'a>(&'a self, keys: &'a [DocumentKey]) -> BoxFuture<'a, Result<Vec<Option<Bytes>>, SinkError>> {
        let copies = self.copies.lock();
        let documents = keys.iter().map(|key| match copies.get(&key.uuid) {
            Some((_, Content::Document(json))) => Some(json.clone()),
            _ => None,
        });
        ready(Ok(documents.collect())).boxed()
    }

    fn scan(&self) -> BoxFuture<'_, Result<Box<dyn Scan>, SinkError>> {
        let copies = self.copies.lock().clone().into_iter().map(|(uuid, (version, content))| Held {
            uuid,
            version: Some(version),
            resource_key: None,
            content,
        });
        let scan: Box<dyn Scan> = Box::new(MemoryScan(copies.collect::<Vec<_>>().into_iter()));
        ready(Ok(scan)).boxed()
    }
}

struct MemoryScan(std::vec::IntoIter<Held>);

impl Scan for MemoryScan {
    fn next(&mut self) -> BoxFuture<'_, Result<Vec<Held>, SinkError>> {
        ready(Ok(self.0.by_ref().take(PAGE).collect())).boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::super::conformance::{SinkFixture, run};
    use super::*;
    use std::sync::Arc;

    #[derive(Default)]
    struct Map(Arc<MemorySink>);

    impl SinkFixture for Map {
        fn open(&mut self) -> BoxFuture<'_, Arc<dyn Sink>> {
            self.0 = Arc::default();
            self.reopen()
        }

        fn reopen(&mut self) -> BoxFuture<'_, Arc<dyn Sink>> {
            let sink: Arc<dyn Sink> = Arc::<MemorySink>::clone(&self.0);
            ready(sink).boxed()
        }

        fn resource_keys(&self) -> [i16; 2] {
            [1, 2]
        }

        fn document(&self, key: DocumentKey, version: i64, text: &str) -> Bytes {
            Bytes::from(format!("{{\"id\":\"{}\",\"_etag\":\"{version}\",\"text\":\"{text}\"}}", key.uuid))
        }
    }

    #[tokio::test]
    async fn the_reference_passes_its_own_suite() {
        run(&mut Map::default()).await;
    }
}
