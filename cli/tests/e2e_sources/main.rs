//! `millstream up` by each kind of source, on a real PostgreSQL and a real Kafka: documents and a rename over HTTP, kill -9
//! in the middle, a restart that goes on where it stopped, and a change from one kind to the next with writes in between.

mod connector;
#[path = "../../../connectors/tests/kafka/fixtures.rs"]
#[allow(dead_code, reason = "the other recordings are read in connectors")]
mod fixtures;
mod place;
mod school;
#[path = "../support/mod.rs"]
mod support;

use connector::Connector;
use place::{Place, changes, compared, metrics_of, wait_published};
use school::School;
use support::child::{Setup, Up};

/// Writes through a process that follows one kind of source, kills it, starts it again, and stops it in order. Everything
/// is right each time, and after the stop nothing has to be compared.
async fn follow(place: &Place, setup: &Setup) {
    let up = Up::start(setup).await;
    let mut school = School::found(&up.http, 1).await;
    school.rename(&up.http, "second").await;
    school.edit(&up.http, 0..10).await;
    up.kill().await;

    let up = Up::start(setup).await;
    school.edit(&up.http, 5..15).await;
    school.rename(&up.http, "third").await;
    school.dismiss(&up.http, 0..3).await;
    place.verify(setup).await;
    place.assert_cached(&school).await;
    up.stop().await;

    let door = place.door().await;
    school.rename(&door, "fourth").await;
    school.edit(&door, 15..20).await;
    door.close().await;
    let up = Up::start(setup).await;
    place.verify(setup).await;
    place.assert_cached(&school).await;
    let status = place.status(setup).await;
    assert_eq!(compared(&status), 0, "what was written meanwhile comes from the source: {status:#}");
    assert!(changes(&status) > 0, "{status:#}");
    up.stop().await;
}

/// NO-LOSS, CONVERGE: the outbox table is polled.
#[tokio::test(flavor = "multi_thread")]
async fn everything_arrives_by_polling() {
    let place = Place::new().await;
    follow(&place, &place.setup("up", &["--source-kind=poll".to_owned()])).await;
    assert_eq!(place.stream().await, "poll");
}

/// The same by our own topic. The publisher that fills it is killed, and the one that stood by takes over.
#[tokio::test(flavor = "multi_thread")]
async fn everything_arrives_by_our_own_topic() {
    let place = Place::new().await;
    let flags = place.topic_flags();
    let first = Up::start_as(&place.setup("publisher", &flags), &["publish"]).await;
    wait_published("the first publisher to have the slot", &first).await;
    let second = Up::start_as(&place.setup("standby", &flags), &["publish"]).await;
    let follower = place.setup("up", &flags);
    let follow = follow(&place, &follower);
    let kill = async {
        place.wait_stored().await;
        assert!(!second.http.is_ready().await, "the slot has one reader");
        first.kill().await;
        wait_published("the standby to have the slot", &second).await;
    };
    tokio::join!(follow, kill);
    place.wait_marked(&follower).await;
    let metrics = metrics_of(&second).await;
    let written = metrics.lines().find_map(|line| line.strip_prefix("millstream_publish_changes_total "));
    let written: f64 = written.and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("{metrics}"));
    assert!(written > 0.0 && metrics.contains("\nmillstream_publish_connected 1"), "{metrics}");
    second.stop().await;
}

/// What is committed before the slot is there never gets into the topic: who reads it waits for the publisher, and says so.
#[tokio::test(flavor = "multi_thread")]
async fn who_reads_our_own_topic_may_start_before_who_fills_it() {
    let place = Place::new().await;
    let flags = place.topic_flags();
    let setup = place.setup("up", &flags);
    let up = Up::start(&setup).await;
    let school = School::found(&up.http, 1).await;
    place.wait_told(&setup, "`millstream publish` creates it").await;
    let publisher = Up::start_as(&place.setup("publisher", &flags), &["publish"]).await;
    place.verify(&setup).await;
    place.assert_cached(&school).await;
    up.stop().await;
    publisher.stop().await;
}

/// The same by a Debezium connector's topic. Without its slot nobody knows how far it is filled, and that is said.
#[tokio::test(flavor = "multi_thread")]
async fn everything_arrives_by_a_connectors_topic() {
    let place = Place::new().await;
    let connector = Connector::start(&place).await;
    follow(&place, &place.setup("up", &connector.flags("debezium"))).await;

    let setup = place.setup("up", &connector.flags("nobodys"));
    let up = Up::start(&setup).await;
    let school = School::found(&up.http, 2).await;
    let (code, text) = support::child::run(&setup, &["wait", "--version=1"]).await;
    assert!(code == Some(1) && text.contains("set source.slot"), "{code:?}: {text}");
    place.verify(&setup).await;
    place.assert_cached(&school).await;
    up.stop().await;
    connector.assert_running();
}

/// RECOVERABLE: positions of one kind mean nothing to the next, so what was written in between is found by comparison.
#[tokio::test(flavor = "multi_thread")]
async fn one_kind_follows_the_other_without_a_gap() {
    let place = Place::new().await;
    let door = place.door().await;
    let mut school = School::found(&door, 1).await;
    let topic = place.topic_flags();
    let mut publisher = None;
    for (at, (stream, flags)) in
        [("slot", vec![]), ("poll", vec!["--source-kind=poll".to_owned()]), ("topic", topic.clone())]
            .into_iter()
            .enumerate()
    {
        school.rename(&door, stream).await;
        school.edit(&door, at..at + 8).await;
        let setup = place.setup("up", &flags);
        if stream == "topic" {
            publisher = Some(Up::start_as(&place.setup("publisher", &topic), &["publish"]).await);
        }
        let up = Up::start(&setup).await;
        place.verify(&setup).await;
        place.assert_cached(&school).await;
        assert!(compared(&place.status(&setup).await) > 0, "{stream}");
        school.edit(&up.http, 10..14).await;
        place.verify(&setup).await;
        place.assert_cached(&school).await;
        assert!(place.stream().await.starts_with(stream));
        up.stop().await;
    }
    publisher.expect("it was started").stop().await;
    door.close().await;
}

/// What cannot be published is told before anything is done.
#[tokio::test(flavor = "multi_thread")]
async fn a_publisher_without_its_own_topic_is_refused() {
    let place = Place::new().await;
    let (code, text) = support::child::run(&place.setup("publisher", &[]), &["publish"]).await;
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("source.kind = topic"), "{text}");
}
