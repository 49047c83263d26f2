//! The suite that every [`Sink`] passes. A test calls [`run`] with a [`SinkFixture`] of its implementation.

use super::contract::{Held, Sink};
use super::delivery::{Content, Delivery, DocumentKey, Outcome};
use bytes::Bytes;
use futures::future::BoxFuture;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// Time limit of one case.
const DEADLINE: Duration = Duration::from_secs(60);

/// Creates empty sinks.
pub trait SinkFixture {
    /// Returns an empty, prepared sink for documents of the types that [`SinkFixture::resource_keys`] names.
    fn open(&mut self) -> BoxFuture<'_, Arc<dyn Sink>>;

    /// Opens the last sink again, as another process would; it keeps its content.
    fn reopen(&mut self) -> BoxFuture<'_, Arc<dyn Sink>>;

    /// Returns the `ResourceKeyId`s of two types that the sink knows.
    fn resource_keys(&self) -> [i16; 2];

    /// Returns a body of the first type that contains `text` in a member.
    fn document(&self, key: DocumentKey, version: i64, text: &str) -> Bytes;
}

struct SinkBench<'a> {
    fixture: &'a mut dyn SinkFixture,
    sink: Arc<dyn Sink>,
}

/// Runs the whole suite, each case on a new sink.
///
/// # Panics
/// When the sink breaks a promise; the message says which.
pub async fn run(fixture: &mut dyn SinkFixture) {
    macro_rules! cases {
        ($($case:ident),* $(,)?) => {$({
            let sink = fixture.open().await;
            let bench = SinkBench { fixture: &mut *fixture, sink };
            let done = tokio::time::timeout(DEADLINE, $case(bench)).await;
            assert!(done.is_ok(), concat!(stringify!($case), " did not end"));
        })*};
    }
    cases!(
        what_was_put_is_held_as_it_was_put,
        the_newest_version_stands_whatever_the_order,
        the_same_again_changes_nothing,
        a_delete_is_a_version_like_any_other,
        a_damaged_document_is_repaired_at_its_version,
        every_delivery_has_its_own_answer,
        preparing_again_changes_nothing,
        everything_outlives_a_new_opening,
    );
}

impl SinkBench<'_> {
    fn key(&self, number: u128) -> DocumentKey {
        let [first, second] = self.fixture.resource_keys();
        let resource_key = if number.is_multiple_of(2) { first } else { second };
        DocumentKey { uuid: Uuid::from_u128(0x5EED_0000_0000_4000_8000_0000_0000_0000 + number), resource_key }
    }

    fn upsert(&self, number: u128, version: i64, text: &str) -> Delivery {
        let key = self.key(number);
        let content = Content::Document(self.fixture.document(key, version, text));
        Delivery { key, version, content, repair: false }
    }

    fn delete(&self, number: u128, version: i64) -> Delivery {
        Delivery { key: self.key(number), version, content: Content::Deleted, repair: false }
    }

    /// Puts until no outcome is a retry, as a delivery worker does; returns the last outcomes.
    async fn put(&self, deliveries: &[Delivery]) -> Vec<Outcome> {
        loop {
            let outcomes = self.sink.put(deliveries).await;
            assert_eq!(outcomes.len(), deliveries.len(), "one outcome per delivery");
            if !outcomes.iter().any(|outcome| matches!(outcome, Outcome::Retry { .. })) {
                return outcomes;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Returns the documents that a reader of the sink sees in the end.
    async fn read(&self) -> BTreeMap<Uuid, (i64, Bytes)> {
        let mut scan = self.sink.scan().await.expect("a scan");
        let mut seen = BTreeMap::new();
        loop {
            let page = scan.next().await.expect("a page");
            if page.is_empty() {
                return seen;
            }
            for Held { uuid, version, content, .. } in page {
                match content {
                    Content::Document(json) => {
                        let version = version.expect("a document has a version");
                        // Readers of a log keep the newest version.
                        if seen.get(&uuid).is_none_or(|(held, _)| *held <= version) {
                            seen.insert(uuid, (version, json));
                        }
                    }
                    Content::Deleted => drop(seen.remove(&uuid)),
                }
            }
        }
    }

    async fn assert_holds(&self, wanted: &[Delivery]) {
        let expected: BTreeMap<Uuid, (i64, Bytes)> = wanted
            .iter()
            .filter_map(|delivery| match &delivery.content {
                Content::Document(json) => Some((delivery.key.uuid, (delivery.version, json.clone()))),
                Content::Deleted => None,
            })
            .collect();
        assert_eq!(self.read().await, expected, "{}", self.sink.describe());
        let keys: Vec<DocumentKey> = wanted.iter().map(|delivery| delivery.key).collect();
        let fetched = self.sink.fetch(&keys).await.expect("fetched");
        let wanted = wanted.iter().map(|delivery| match &delivery.content {
            Content::Document(json) => Some(json.clone()),
            Content::Deleted => None,
        });
        assert_eq!(fetched, wanted.collect::<Vec<_>>());
    }
}

async fn what_was_put_is_held_as_it_was_put(bench: SinkBench<'_>) {
    let texts = ["plain", "quotes \\\" and \\\\ backslashes", "ünï€😀", "<a&b>", "  "];
    let mut wanted: Vec<Delivery> = (0..).zip(texts).map(|(at, text)| bench.upsert(at, 10 + at as i64, text)).collect();
    wanted.push(bench.upsert(99, i64::MAX >> 8, &"long ".repeat(20_000)));
    let outcomes = bench.put(&wanted).await;
    assert!(outcomes.iter().all(|outcome| *outcome == Outcome::Done), "{outcomes:?}");
    bench.assert_holds(&wanted).await;
}

async fn the_newest_version_stands_whatever_the_order(bench: SinkBench<'_>) {
    let (old, new) = (bench.upsert(1, 5, "old"), bench.upsert(1, 9, "new"));
    bench.put(std::slice::from_ref(&new)).await;
    if bench.sink.limits().guards_versions {
        assert_eq!(bench.put(std::slice::from_ref(&old)).await, [Outcome::Superseded]);
    } else {
        bench.put(std::slice::from_ref(&old)).await;
    }
    assert_eq!(bench.read().await.get(&new.key.uuid).map(|(version, _)| *version), Some(9));
}

async fn the_same_again_changes_nothing(bench: SinkBench<'_>) {
    let wanted = [bench.upsert(1, 5, "one"), bench.delete(2, 6), bench.upsert(3, 7, "three")];
    bench.put(&wanted).await;
    let again = bench.put(&wanted).await;
    let harmless = |outcome: &Outcome| matches!(outcome, Outcome::Done | Outcome::Superseded);
    assert!(again.iter().all(harmless), "{again:?}");
    bench.assert_holds(&wanted).await;
}

async fn a_delete_is_a_version_like_any_other(bench: SinkBench<'_>) {
    let (before, gone) = (bench.upsert(1, 5, "before"), bench.delete(1, 8));
    bench.put(std::slice::from_ref(&before)).await;
    assert_eq!(bench.put(std::slice::from_ref(&gone)).await, [Outcome::Done]);
    bench.assert_holds(std::slice::from_ref(&gone)).await;
    if bench.sink.limits().guards_versions {
        let late = bench.upsert(1, 7, "late");
        assert_eq!(bench.put(&[late]).await, [Outcome::Superseded], "a late upsert does not bring it back");
        bench.assert_holds(&[gone]).await;
    }
    // Deleting an absent document is not an error.
    let never = bench.delete(77, 3);
    let outcome = bench.put(std::slice::from_ref(&never)).await;
    assert!(matches!(outcome[0], Outcome::Done | Outcome::Superseded), "{outcome:?}");
}

async fn a_damaged_document_is_repaired_at_its_version(bench: SinkBench<'_>) {
    let damaged = bench.upsert(1, 5, "damaged");
    bench.put(&[damaged]).await;
    let sound = Delivery { repair: true, ..bench.upsert(1, 5, "sound") };
    assert_eq!(bench.put(std::slice::from_ref(&sound)).await, [Outcome::Done]);
    bench.assert_holds(&[sound]).await;
}

async fn every_delivery_has_its_own_answer(bench: SinkBench<'_>) {
    if !bench.sink.limits().guards_versions {
        return;
    }
    bench.put(&[bench.upsert(2, 50, "newer")]).await;
    let batch: Vec<Delivery> = (0..40).map(|number| bench.upsert(number, 20, "batch")).collect();
    let outcomes = bench.put(&batch).await;
    for (delivery, outcome) in batch.iter().zip(outcomes) {
        let expected = if delivery.key == bench.key(2) { Outcome::Superseded } else { Outcome::Done };
        assert_eq!(outcome, expected, "{delivery:?}");
    }
    assert_eq!(bench.read().await.len(), 40);
}

async fn preparing_again_changes_nothing(bench: SinkBench<'_>) {
    let wanted = [bench.upsert(1, 5, "one")];
    bench.put(&wanted).await;
    bench.sink.prepare().await.expect("prepared again");
    bench.assert_holds(&wanted).await;
}

async fn everything_outlives_a_new_opening(bench: SinkBench<'_>) {
    let wanted = [bench.upsert(1, 5, "one"), bench.delete(2, 6), bench.upsert(3, 7, "three")];
    bench.put(&wanted).await;
    let SinkBench { fixture, sink } = bench;
    drop(sink);
    let sink = fixture.reopen().await;
    SinkBench { fixture, sink }.assert_holds(&wanted).await;
}
