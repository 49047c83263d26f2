//! Faults of OpenSearch and Kafka.

use super::under_traffic;
use crate::installation::Installation;
use crate::support::random::Random;
use millstream_testkit::Fault;
use serde_json::{Value, json};
use std::time::Duration;

/// Statuses of clusters that are full, overloaded, or not paid for.
const STATUSES: [u16; 5] = [402, 413, 429, 503, 507];
/// How long the items of bulks get one status: three attempts at a document take less.
const ITEMS_REFUSED: Duration = Duration::from_secs(3);
/// How long bulks get one status.
const BULKS_REFUSED: Duration = Duration::from_secs(1);
/// How long answers are truncated.
const FAULTY: Duration = Duration::from_secs(10);
const PAUSED: Duration = Duration::from_secs(20);

/// With each status in turn: answers bulks with refused items, which the node has carried out, then refuses them whole.
pub(super) async fn statuses(installation: &mut Installation, random: &mut Random) {
    let first = random.below(STATUSES.len());
    let Installation { traffic, search_proxy, .. } = installation;
    let proxy = search_proxy.as_ref().expect("the layout has OpenSearch");
    let fault = async {
        for status in (0..STATUSES.len()).map(|number| STATUSES[(first + number) % STATUSES.len()]) {
            proxy.set(move |exchange| match exchange.path.contains("_bulk") {
                true => Fault::Rewrite(Box::new(move |body| refuse_items(&body, status))),
                false => Fault::None,
            });
            tokio::time::sleep(ITEMS_REFUSED).await;
            proxy.set(move |exchange| match exchange.path.contains("_bulk") {
                true => Fault::Refuse(status),
                false => Fault::None,
            });
            tokio::time::sleep(BULKS_REFUSED).await;
        }
        proxy.restore();
    };
    under_traffic(traffic, random, fault).await;
}

/// Gives every item of a bulk's response this status.
fn refuse_items(body: &[u8], status: u16) -> Vec<u8> {
    let Ok(mut response) = serde_json::from_slice::<Value>(body) else { return body.to_vec() };
    for item in response["items"].as_array_mut().into_iter().flatten() {
        for result in item.as_object_mut().into_iter().flat_map(|item| item.values_mut()) {
            *result = json!({"status": status, "error": {"type": "chaos_exception", "reason": "a fault of the trial"}});
        }
    }
    response.to_string().into_bytes()
}

/// Ends answers of bulks early: with an error, as if complete, and before the first byte.
pub(super) async fn truncated(installation: &mut Installation, random: &mut Random) {
    let thousandths = random.below(1_000);
    let Installation { traffic, search_proxy, .. } = installation;
    let proxy = search_proxy.as_ref().expect("the layout has OpenSearch");
    let fault = async {
        proxy.set(move |exchange| match exchange.number % 4 {
            0 => Fault::Cut(thousandths),
            1 => Fault::Shorten(thousandths),
            2 => Fault::Reset,
            _ => Fault::None,
        });
        tokio::time::sleep(FAULTY).await;
        proxy.restore();
    };
    under_traffic(traffic, random, fault).await;
}

/// Pauses the broker: it keeps its connections and does not answer.
pub(super) async fn broker_pause(installation: &mut Installation, random: &mut Random) {
    let kafka = installation.services.kafka().await;
    let fault = async {
        kafka.pause(0);
        tokio::time::sleep(PAUSED).await;
        kafka.resume(0);
    };
    under_traffic(&installation.traffic, random, fault).await;
}
