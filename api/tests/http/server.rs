//! Writes whose client has disconnected, and shutdown.

use crate::fakes::{SOON, gated};
use crate::wire::Server;
use millstream_api::{ApiOptions, Drained, ServerOptions};
use millstream_testkit::wait_until;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;

const POST: &[u8] = b"POST /data/meadow/students HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
content-length: 2\r\n\r\n{}";
const HEALTH: &[u8] = b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n";
const DRAINED: Drained = Drained { connections_cut: 0, writes_left: 0 };

#[tokio::test]
async fn a_client_that_hangs_up_does_not_stop_its_write() {
    let (fake, gate, ended) = gated(ApiOptions::default());
    let api = fake.start();
    let server = Server::start(&api, ServerOptions::default()).await;
    let mut wire = server.connect().await;
    wire.send(POST).await;
    wait_until("the write has begun", SOON, || async { api.calls().len() == 1 }).await;
    wire.hang_up();
    // Shutdown waits for the write although no client is connected.
    server.shutdown.cancel();
    wait_until("the listener is closed", SOON, || async { TcpStream::connect(server.address).await.is_err() }).await;
    assert!(!server.ended.is_finished());
    gate.add_permits(1);
    assert_eq!(timeout(SOON, server.ended).await.expect("drained").expect("no panic"), DRAINED);
    assert_eq!(ended.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_shutdown_lets_requests_be_answered_and_accepts_no_more() {
    let (fake, gate, _) = gated(ApiOptions::default());
    let api = fake.start();
    let server = Server::start(&api, ServerOptions::default()).await;
    let mut busy = server.connect().await;
    busy.send(POST).await;
    let mut idle = server.connect().await;
    idle.send(HEALTH).await;
    idle.receive("live\"}").await;
    let mut silent = server.connect().await;
    wait_until("the write has begun", SOON, || async { api.calls().len() == 1 }).await;
    server.shutdown.cancel();
    assert_eq!(idle.rest().await, "", "an idle connection is closed at once");
    assert_eq!(silent.rest().await, "", "so is one that has not asked anything");
    assert!(TcpStream::connect(server.address).await.is_err(), "the listener is closed");
    gate.add_permits(1);
    let answer = busy.rest().await;
    assert!(answer.starts_with("HTTP/1.1 201") && answer.contains("connection: close"), "{answer}");
    assert_eq!(timeout(SOON, server.ended).await.expect("drained").expect("no panic"), DRAINED);
}

#[tokio::test]
async fn a_shutdown_ends_at_its_deadline_and_says_what_it_left() {
    let (fake, _gate, ended) = gated(ApiOptions::default());
    let api = fake.start();
    let options = ServerOptions { drain_deadline: Duration::from_millis(100), ..ServerOptions::default() };
    let server = Server::start(&api, options).await;
    let mut wire = server.connect().await;
    wire.send(POST).await;
    wait_until("the write has begun", SOON, || async { api.calls().len() == 1 }).await;
    server.shutdown.cancel();
    let drained = timeout(SOON, server.ended).await.expect("it ends").expect("no panic");
    assert_eq!(drained, Drained { connections_cut: 1, writes_left: 1 });
    assert!(!drained.is_complete());
    assert_eq!(wire.rest().await, "");
    assert_eq!(ended.load(Ordering::SeqCst), 0);
}
