//! The cost of fencing: the sink's transactions compared with a plain idempotent producer of the same bytes.

use std::time::{Duration, Instant};

use futures::future::join_all;
use futures::stream::{self, StreamExt};
use millstream_connectors::sink::kafka::{KafkaOptions, KafkaSink};
use millstream_pipeline::sink::{Delivery, Sink};
use millstream_testkit::KafkaBroker;
use rdkafka::config::ClientConfig;
use rdkafka::producer::{FutureProducer, FutureRecord};

use crate::support::{assert_all_done, make_topic, new_topic_name, open, options, rows, upsert};

const DOCUMENTS: u128 = 40_000;
const ALONE: usize = 200;
/// Pause before a single document, so that it does not wait for the minimum interval of transactions.
const PAUSE: Duration = Duration::from_millis(15);
const RUNS: usize = 5;

/// Documents per second, and milliseconds for a single one.
type Rates = (f64, f64);

async fn through_the_sink(sink: &KafkaSink, documents: &[Delivery]) -> Rates {
    let started = Instant::now();
    let puts: Vec<_> = documents.chunks(sink.limits().batch_documents_max).map(|batch| sink.put(batch)).collect();
    let mut results = stream::iter(puts).buffer_unordered(sink.limits().in_flight_max);
    while let Some(outcomes) = results.next().await {
        assert_all_done(&outcomes);
    }
    let rate = documents.len() as f64 / started.elapsed().as_secs_f64();
    let mut alone = Duration::ZERO;
    for one in documents.chunks(1).take(ALONE) {
        tokio::time::sleep(PAUSE).await;
        let started = Instant::now();
        assert_all_done(&sink.put(one).await);
        alone += started.elapsed();
    }
    (rate, alone.as_secs_f64() * 1e3 / ALONE as f64)
}

/// Sends with at most `in_flight` records in flight.
async fn bare(producer: &FutureProducer, topic: &str, ready: &[(String, Vec<u8>)], in_flight: usize) -> Rates {
    let send = |(key, value): &(String, Vec<u8>)| {
        let record = FutureRecord::to(topic).key(key).payload(value);
        producer.send_result(record).map_err(|(error, _)| error).expect("queued")
    };
    let started = Instant::now();
    for batch in ready.chunks(in_flight) {
        let reports = join_all(batch.iter().map(send)).await;
        assert!(reports.iter().all(|report| matches!(report, Ok(Ok(_)))));
    }
    let rate = ready.len() as f64 / started.elapsed().as_secs_f64();
    let started = Instant::now();
    for one in ready.iter().take(ALONE) {
        assert!(matches!(send(one).await, Ok(Ok(_))));
    }
    (rate, started.elapsed().as_secs_f64() * 1e3 / ALONE as f64)
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// `cargo test --release --test kafka price -- --ignored --nocapture`
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn price_of_the_fence() {
    let servers = KafkaBroker::shared().await.bootstrap_servers();
    let (fenced_topic, bare_topic) = (new_topic_name(), new_topic_name());
    let fenced = open(KafkaOptions { ..options(&servers, &fenced_topic) }).await;
    make_topic(&servers, &bare_topic, 3, &[("cleanup.policy", "compact")]).await;
    let documents: Vec<Delivery> = (0..DOCUMENTS).map(|number| upsert(number, 1, &"x".repeat(2_000))).collect();
    through_the_sink(&fenced, &documents).await;
    let in_flight = fenced.limits().batch_documents_max * fenced.limits().in_flight_max;
    let ready: Vec<(String, Vec<u8>)> =
        rows(&servers, &fenced_topic).into_iter().filter_map(|row| Some((row.key, row.value?))).collect();
    assert!(ready.len() >= documents.len());
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &servers).set("enable.idempotence", "true").set("partitioner", "murmur2_random");
    let producer: FutureProducer = config.create().expect("a producer");
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for run in 0..RUNS {
        let (sink, limit) =
            (through_the_sink(&fenced, &documents).await, bare(&producer, &bare_topic, &ready, in_flight).await);
        println!(
            "run {run}: fenced {:.0}/s, {:.2} ms alone; bare {:.0}/s, {:.2} ms alone",
            sink.0, sink.1, limit.0, limit.1
        );
        with.push(sink);
        without.push(limit);
    }
    let of = |figures: &[Rates], which: fn(&Rates) -> f64| median(figures.iter().map(which).collect());
    let rates = (of(&with, |figure| figure.0), of(&without, |figure| figure.0));
    let alone = (of(&with, |figure| figure.1), of(&without, |figure| figure.1));
    println!("median of {RUNS}: {:.0} documents/s fenced, {:.0} bare: {:.2}", rates.0, rates.1, rates.0 / rates.1);
    println!("median of {RUNS}: one document alone {:.2} ms fenced, {:.2} ms bare", alone.0, alone.1);
}
