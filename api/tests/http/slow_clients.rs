//! Clients that are idle, slow, or many: they delay each other, never health and metrics.

use crate::fakes::{Fake, SOON, Started, document, gated};
use crate::wire::{Server, Wire};
use axum::body::Bytes;
use millstream_api::{ApiOptions, ServerOptions};
use millstream_store::read::Page;
use millstream_testkit::wait_until;
use std::time::Duration;
use tokio::time::{Instant, timeout};

const POST: &str = "POST /data/meadow/students HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n";
const HEALTH: &[u8] = b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n";
const METRICS: &[u8] = b"GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n";
const PAGE: &[u8] = b"GET /data/meadow/students HTTP/1.1\r\nhost: localhost\r\n\r\n";

async fn assert_operable(server: &Server) {
    let asking = async {
        let mut wire = server.connect().await;
        wire.send(HEALTH).await;
        assert!(wire.receive("live\"}").await.starts_with("HTTP/1.1 200"));
        wire.send(METRICS).await;
        assert!(wire.receive("millstream_up 1\n").await.starts_with("HTTP/1.1 200"));
    };
    timeout(Duration::from_secs(3), asking).await.expect("health and metrics are told");
}

/// A fake whose pages are larger than the buffers of a socket.
fn large_pages() -> Started {
    let documents = vec![
        millstream_store::read::ReadDocument {
            body: Bytes::from(format!("{{\"a\":\"{}\"}}", "x".repeat(32 << 20))),
            ..document(crate::fakes::ID, 7)
        };
        1
    ];
    let page = Box::new(move |_: &_| Ok(Page { documents: documents.clone(), ..Page::default() }));
    Fake { page, ..Fake::default() }.start()
}

#[tokio::test]
async fn idle_sockets_do_not_stop_service() {
    let api = Fake::default().start();
    let server = Server::start(&api, ServerOptions { connections_max: 4, ..ServerOptions::default() }).await;
    let mut idle: Vec<Wire> = Vec::new();
    for number in 0..40 {
        let mut wire = server.connect().await;
        // Some are silent, some stop within the head, some have been served before.
        match number % 3 {
            0 => {}
            1 => wire.send(b"GET /health HTTP/1.1\r\nhost: loc").await,
            _ => {
                wire.send(HEALTH).await;
                wire.receive("live\"}").await;
            }
        }
        idle.push(wire);
    }
    assert_operable(&server).await;
    let mut wire = server.connect().await;
    wire.send(format!("{POST}content-length: 2\r\n\r\n{{}}").as_bytes()).await;
    assert!(wire.receive("\r\n\r\n").await.starts_with("HTTP/1.1 201"));
    // The first of them made room.
    assert_eq!(idle[0].rest().await, "");
}

#[tokio::test]
async fn busy_connections_leave_room_for_health() {
    let (fake, gate, _) = gated(ApiOptions::default());
    let api = fake.start();
    let server = Server::start(&api, ServerOptions { connections_max: 2, ..ServerOptions::default() }).await;
    let mut busy = Vec::new();
    for count in 1..=2 {
        let mut wire = server.connect().await;
        wire.send(format!("{POST}content-length: 2\r\n\r\n{{}}").as_bytes()).await;
        wait_until("the write has begun", SOON, || async { api.calls().len() == count }).await;
        busy.push(wire);
    }
    assert_operable(&server).await;
    let mut third = server.connect().await;
    third.send(PAGE).await;
    let answer = third.rest().await;
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("retry-after: 1"), "{answer}");
    gate.add_permits(2);
    for mut wire in busy {
        assert!(wire.receive("\r\n\r\n").await.starts_with("HTTP/1.1 201"));
    }
    let mut again = server.connect().await;
    again.send(PAGE).await;
    assert!(again.receive("[]").await.starts_with("HTTP/1.1 200"), "the places are free again");
}

#[tokio::test]
async fn a_client_that_does_not_read_is_disconnected() {
    let api = large_pages();
    let options =
        ServerOptions { connections_max: 1, write_timeout: Duration::from_millis(300), ..ServerOptions::default() };
    let server = Server::start(&api, options).await;
    let mut deaf = server.connect().await;
    deaf.send(PAGE).await;
    wait_until("the page is being written", SOON, || async { !api.queries().is_empty() }).await;
    // Its place is free again although it neither reads nor hangs up.
    wait_until("another client is served", SOON, || async {
        let mut wire = server.connect().await;
        wire.send(b"HEAD /data/meadow/students HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
        wire.receive("\r\n\r\n").await.starts_with("HTTP/1.1 200")
    })
    .await;
    assert!(deaf.rest_bytes().await.len() < 32 << 20, "the rest of the page was not sent");
}

#[tokio::test]
async fn a_client_that_reads_slowly_but_steadily_gets_everything() {
    let api = large_pages();
    let options = ServerOptions {
        write_timeout: Duration::from_millis(500),
        write_rate_min: 1 << 20,
        ..ServerOptions::default()
    };
    let server = Server::start(&api, options).await;
    let mut wire = server.connect().await;
    wire.send(PAGE).await;
    // Several times the longest lag, at about 16 MiB per second.
    let (began, received) = (Instant::now(), wire.read_paced(64 << 10, Duration::from_millis(4)).await);
    assert!(received > 32 << 20, "{received}");
    assert!(began.elapsed() > Duration::from_millis(1_000), "it was not slow: {:?}", began.elapsed());
}

#[tokio::test]
async fn slow_senders_take_no_admission_from_others() {
    let options = ApiOptions { requests_max: 1, body_timeout: SOON, ..ApiOptions::default() };
    let api = Fake { options, ..Fake::default() }.start();
    let server = Server::start(&api, ServerOptions::default()).await;
    let mut senders = Vec::new();
    for _ in 0..5 {
        let mut wire = server.connect().await;
        wire.send(format!("{POST}content-length: 2\r\n\r\n{{").as_bytes()).await;
        senders.push(wire);
    }
    let mut wire = server.connect().await;
    wire.send(PAGE).await;
    assert!(wire.receive("[]").await.starts_with("HTTP/1.1 200"));
    for mut wire in senders {
        wire.send(b"}").await;
        assert!(wire.receive("\r\n\r\n").await.starts_with("HTTP/1.1 201"));
    }
}

#[tokio::test]
async fn a_body_that_trickles_is_refused_and_one_that_flows_is_not() {
    let options =
        ApiOptions { body_timeout: Duration::from_millis(300), body_rate_min: 100_000, ..ApiOptions::default() };
    let api = Fake { options, ..Fake::default() }.start();
    let server = Server::start(&api, ServerOptions::default()).await;
    // About a tenth of the rate: every byte arrives in time, all of them do not.
    let mut trickle = server.connect().await;
    trickle.send(format!("{POST}content-length: 100000\r\n\r\n").as_bytes()).await;
    let answer = trickle.send_paced(100, 100_000, Duration::from_millis(10)).await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(api.calls().is_empty());
    // Five times the rate, for longer than the timeout.
    let mut flow = server.connect().await;
    flow.send(format!("{POST}content-length: 500000\r\n\r\n").as_bytes()).await;
    let answer = flow.send_paced(5_000, 500_000, Duration::from_millis(5)).await;
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
}

#[tokio::test]
async fn large_bodies_wait_for_each_other_and_small_ones_for_none() {
    let options = ApiOptions {
        body_max_bytes: 1 << 20,
        bodies_max_bytes: 1 << 20,
        body_timeout: Duration::from_millis(500),
        ..ApiOptions::default()
    };
    let (fake, gate, _) = gated(options);
    let api = fake.start();
    let server = Server::start(&api, ServerOptions::default()).await;
    let large = "x".repeat(1 << 20);
    let mut first = server.connect().await;
    first.send(format!("{POST}content-length: {}\r\n\r\n{large}", large.len()).as_bytes()).await;
    wait_until("the first write has begun", SOON, || async { api.calls().len() == 1 }).await;
    // Held until its write has ended: a second one is turned away after a while, announced or not.
    for framed in [
        format!("content-length: {}\r\n\r\n{large}", large.len()),
        format!("transfer-encoding: chunked\r\n\r\n{:x}\r\n{large}\r\n0\r\n\r\n", large.len()),
    ] {
        let second = server.connect().await;
        let answer = second.send_and_receive(format!("{POST}{framed}").as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("retry-after"), "{answer}");
    }
    let mut small = server.connect().await;
    small.send(format!("{POST}content-length: 2\r\n\r\n{{}}").as_bytes()).await;
    wait_until("the small write has begun", SOON, || async { api.calls().len() == 2 }).await;
    gate.add_permits(2);
    assert!(first.receive("\r\n\r\n").await.starts_with("HTTP/1.1 201"));
    let mut third = server.connect().await;
    gate.add_permits(1);
    third.send(format!("{POST}content-length: {}\r\n\r\n{large}", large.len()).as_bytes()).await;
    assert!(third.receive("\r\n\r\n").await.starts_with("HTTP/1.1 201"), "the memory is free again");
}
