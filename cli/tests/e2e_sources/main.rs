//! `millstream up` with each kind of source, on a real PostgreSQL and a real Kafka: documents and a rename over HTTP, a
//! SIGKILL in the middle, a restart that continues, and a change from one kind to the next with writes in between.

mod connector;
#[path = "../../../connectors/tests/kafka/fixtures.rs"]
#[allow(dead_code, reason = "the tests of connectors read the other recordings")]
mod fixtures;
mod installation;
mod school;
#[path = "../support/mod.rs"]
mod support;

use connector::Connector;
use installation::{Installation, changes, compared, metrics_of, wait_published};
use school::School;
use support::process::{Process, Setup};

/// Writes through a process with one kind of source, kills it, restarts it, and stops it in order. The cache is complete
/// each time, and after the orderly stop no comparison is needed.
async fn follow(installation: &Installation, setup: &Setup) {
    let up = Process::start(setup).await;
    let mut school = School::create(&up.http, 1).await;
    school.rename(&up.http, "second").await;
    school.edit(&up.http, 0..10).await;
    up.kill().await;

    let up = Process::start(setup).await;
    school.edit(&up.http, 5..15).await;
    school.rename(&up.http, "third").await;
    school.delete_enrolments(&up.http, 0..3).await;
    installation.verify(setup).await;
    installation.assert_cached(&school).await;
    up.stop().await;

    let api = installation.serve().await;
    school.rename(&api, "fourth").await;
    school.edit(&api, 15..20).await;
    api.stop().await;
    let up = Process::start(setup).await;
    installation.verify(setup).await;
    installation.assert_cached(&school).await;
    let status = installation.status(setup).await;
    assert_eq!(compared(&status), 0, "changes made meanwhile come from the source: {status:#}");
    assert!(changes(&status) > 0, "{status:#}");
    up.stop().await;
}

/// NO-LOSS, CONVERGE: the outbox table is polled.
#[tokio::test(flavor = "multi_thread")]
async fn everything_arrives_by_polling() {
    let installation = Installation::new().await;
    follow(&installation, &installation.setup("up", &["--source-kind=poll".to_owned()])).await;
    assert_eq!(installation.stream().await, "poll");
}

/// The same through the topic of `millstream publish`. The active publisher is killed and the standby takes over.
#[tokio::test(flavor = "multi_thread")]
async fn everything_arrives_by_our_own_topic() {
    let installation = Installation::new().await;
    let flags = installation.topic_flags();
    let first = Process::start_as(&installation.setup("publisher", &flags), &["publish"]).await;
    wait_published("the first publisher to have the slot", &first).await;
    let second = Process::start_as(&installation.setup("standby", &flags), &["publish"]).await;
    let follower = installation.setup("up", &flags);
    let follow = follow(&installation, &follower);
    let kill = async {
        installation.wait_stored().await;
        assert!(!second.http.is_ready().await, "only one publisher reads the slot");
        first.kill().await;
        wait_published("the standby to have the slot", &second).await;
    };
    tokio::join!(follow, kill);
    installation.wait_marked(&follower).await;
    let metrics = metrics_of(&second).await;
    let written = metrics.lines().find_map(|line| line.strip_prefix("millstream_publish_changes_total "));
    let written: f64 = written.and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("{metrics}"));
    assert!(written > 0.0 && metrics.contains("\nmillstream_publish_connected 1"), "{metrics}");
    second.stop().await;
}

/// Changes committed before the slot exists never get into the topic, so a reader waits for the publisher and reports it.
#[tokio::test(flavor = "multi_thread")]
async fn the_reader_of_our_own_topic_may_start_before_the_publisher() {
    let installation = Installation::new().await;
    let flags = installation.topic_flags();
    let setup = installation.setup("up", &flags);
    let up = Process::start(&setup).await;
    let school = School::create(&up.http, 1).await;
    installation.wait_for_error(&setup, "`millstream publish` creates it").await;
    let publisher = Process::start_as(&installation.setup("publisher", &flags), &["publish"]).await;
    installation.verify(&setup).await;
    installation.assert_cached(&school).await;
    up.stop().await;
    publisher.stop().await;
}

/// The same through the topic of a Debezium connector. Without its slot the position of the topic is unknown, and
/// `millstream wait` reports that.
#[tokio::test(flavor = "multi_thread")]
async fn everything_arrives_by_a_connectors_topic() {
    let installation = Installation::new().await;
    let connector = Connector::start(&installation).await;
    follow(&installation, &installation.setup("up", &connector.flags("debezium"))).await;

    let setup = installation.setup("up", &connector.flags("unknown"));
    let up = Process::start(&setup).await;
    let school = School::create(&up.http, 2).await;
    let (code, text) = support::process::run(&setup, &["wait", "--version=1"]).await;
    assert!(code == Some(1) && text.contains("set source.slot"), "{code:?}: {text}");
    installation.verify(&setup).await;
    installation.assert_cached(&school).await;
    up.stop().await;
    connector.assert_running();
}

/// RECOVERABLE: positions of one kind of source mean nothing to another, so a comparison finds the changes in between.
#[tokio::test(flavor = "multi_thread")]
async fn one_kind_follows_the_other_without_a_gap() {
    let installation = Installation::new().await;
    let api = installation.serve().await;
    let mut school = School::create(&api, 1).await;
    let topic = installation.topic_flags();
    let mut publisher = None;
    for (at, (stream, flags)) in
        [("slot", vec![]), ("poll", vec!["--source-kind=poll".to_owned()]), ("topic", topic.clone())]
            .into_iter()
            .enumerate()
    {
        school.rename(&api, stream).await;
        school.edit(&api, at..at + 8).await;
        let setup = installation.setup("up", &flags);
        if stream == "topic" {
            publisher = Some(Process::start_as(&installation.setup("publisher", &topic), &["publish"]).await);
        }
        let up = Process::start(&setup).await;
        installation.verify(&setup).await;
        installation.assert_cached(&school).await;
        assert!(compared(&installation.status(&setup).await) > 0, "{stream}");
        school.edit(&up.http, 10..14).await;
        installation.verify(&setup).await;
        installation.assert_cached(&school).await;
        assert!(installation.stream().await.starts_with(stream));
        up.stop().await;
    }
    publisher.expect("the publisher is running").stop().await;
    api.stop().await;
}

/// A publisher without a topic source fails at the start.
#[tokio::test(flavor = "multi_thread")]
async fn a_publisher_without_its_own_topic_is_refused() {
    let installation = Installation::new().await;
    let (code, text) = support::process::run(&installation.setup("publisher", &[]), &["publish"]).await;
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("source.kind = topic"), "{text}");
}
