//! On the wire: broken HTTP, broken bodies, connections that stay open.

use crate::fakes::{Fake, ID, SOON, Started};
use millstream_api::{ApiOptions, Drained, ServerOptions, serve};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// A server on a free port of the loopback interface.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) shutdown: CancellationToken,
    pub(crate) ended: JoinHandle<Drained>,
}

impl Server {
    pub(crate) async fn start(api: &Started, options: ServerOptions) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let shutdown = CancellationToken::new();
        let ended = tokio::spawn(serve(listener, api.api.clone(), shutdown.clone(), options));
        Self { address, shutdown, ended }
    }

    pub(crate) async fn connect(&self) -> Wire {
        Wire(TcpStream::connect(self.address).await.expect("the server accepts"))
    }

    /// Asserts that the server still responds.
    async fn assert_alive(&self) {
        let mut wire = self.connect().await;
        wire.send(b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
        assert!(wire.receive("live\"}").await.starts_with("HTTP/1.1 200"));
    }
}

/// A client that writes bytes.
pub(crate) struct Wire(TcpStream);

impl Wire {
    pub(crate) fn over(socket: TcpStream) -> Self {
        Self(socket)
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.expect("the server reads");
    }

    /// Reads up to and including `last`.
    pub(crate) async fn receive(&mut self, last: &str) -> String {
        let mut received = Vec::new();
        let reading = async {
            let mut buffer = [0; 4096];
            while !String::from_utf8_lossy(&received).contains(last) {
                let count = self.0.read(&mut buffer).await.expect("the connection is whole");
                assert!(count > 0, "closed before {last:?}: {}", String::from_utf8_lossy(&received));
                received.extend_from_slice(&buffer[..count]);
            }
        };
        timeout(SOON, reading).await.unwrap_or_else(|_| panic!("waited in vain for {last:?}"));
        String::from_utf8(received).expect("UTF-8")
    }

    /// Reads until the server closes the connection.
    pub(crate) async fn rest(&mut self) -> String {
        let mut received = Vec::new();
        let read = timeout(SOON, self.0.read_to_end(&mut received)).await.expect("the server closes");
        // A reset after the response is a close as well.
        if let Err(error) = read {
            assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
        }
        String::from_utf8(received).expect("UTF-8")
    }

    /// Reads until the server closes or resets the connection.
    pub(crate) async fn rest_bytes(&mut self) -> Vec<u8> {
        let mut received = Vec::new();
        if let Err(error) = timeout(SOON, self.0.read_to_end(&mut received)).await.expect("the server closes") {
            assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
        }
        received
    }

    /// Reads a response that ends with `]`, at most `chunk` bytes per interval; returns the number of bytes.
    pub(crate) async fn read_paced(&mut self, chunk: usize, interval: Duration) -> usize {
        let (mut buffer, mut count, mut pace) = (vec![0; chunk], 0, tokio::time::interval(interval));
        loop {
            pace.tick().await;
            match timeout(SOON, self.0.read(&mut buffer))
                .await
                .expect("the server writes")
                .expect("the connection is whole")
            {
                0 => panic!("closed after {count} bytes"),
                read => count += read,
            }
            if buffer.contains(&b']') {
                return count;
            }
        }
    }

    /// Sends `total` bytes, `chunk` per interval, and returns the response, which may come before all are sent.
    pub(crate) async fn send_paced(self, chunk: usize, total: usize, interval: Duration) -> String {
        self.send_chunks(&vec![b'x'; total], chunk, interval).await
    }

    async fn send_chunks(mut self, bytes: &[u8], chunk: usize, interval: Duration) -> String {
        let (mut reading, mut writing) = self.0.split();
        let sending = async {
            let mut pace = tokio::time::interval(interval);
            for part in bytes.chunks(chunk) {
                pace.tick().await;
                if writing.write_all(part).await.is_err() {
                    break;
                }
            }
            std::future::pending::<()>().await;
        };
        let mut received = Vec::new();
        let receiving = async {
            while !received.windows(4).any(|window| window == b"\r\n\r\n") {
                let mut buffer = [0; 4096];
                let count = reading.read(&mut buffer).await.expect("a response");
                assert!(count > 0, "closed without a response");
                received.extend_from_slice(&buffer[..count]);
            }
        };
        tokio::select! {
            () = sending => {}
            done = timeout(SOON, receiving) => done.expect("a response in time"),
        }
        String::from_utf8(received).expect("UTF-8")
    }

    /// Sends bytes that the server may not take, and returns the response.
    pub(crate) async fn send_and_receive(self, bytes: &[u8]) -> String {
        self.send_chunks(bytes, bytes.len(), Duration::from_millis(1)).await
    }

    pub(crate) fn hang_up(self) {
        drop(self);
    }
}

fn small_bodies() -> Started {
    let options = ApiOptions { body_max_bytes: 100, ..ApiOptions::default() };
    Fake { options, ..Fake::default() }.start()
}

async fn start(api: &Started) -> Server {
    Server::start(api, ServerOptions::default()).await
}

const POST: &str = "POST /data/meadow/students HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n";

#[tokio::test]
async fn broken_http_is_refused_and_harms_no_other_client() {
    let api = small_bodies();
    let server = start(&api).await;
    for head in [
        "\0\0\0\0\r\n\r\n",
        "GET\r\n\r\n",
        "GET / HTTP/9.9\r\n\r\n",
        "GET /data/\u{e9} HTTP/1.1\r\nhost h\r\n\r\n",
        "GET / HTTP/1.1\r\nbad header\r\n\r\n",
        "POST /data/meadow/students HTTP/1.1\r\ncontent-length: abc\r\n\r\n",
        "POST /data/meadow/students HTTP/1.1\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nabcdef",
        "\x16\x03\x01\x02\x00\x01\x00\x01\r\n\r\n",
    ] {
        let mut wire = server.connect().await;
        wire.send(head.as_bytes()).await;
        let answer = wire.rest().await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400"), "{head:?}: {answer}");
    }
    assert!(api.calls().is_empty());
    server.assert_alive().await;
}

#[tokio::test]
async fn odd_targets_are_not_found() {
    let server = start(&small_bodies()).await;
    for target in
        ["OPTIONS *", "CONNECT localhost:1", "GET http://localhost/nothing", "GET //", "GET /data/./../students"]
    {
        let mut wire = server.connect().await;
        wire.send(format!("{target} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").as_bytes()).await;
        let answer = wire.rest().await;
        assert!(answer.starts_with("HTTP/1.1 404") && answer.contains("urn:ed-fi:api:not-found"), "{target}: {answer}");
    }
    server.assert_alive().await;
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let server = Server::start(&small_bodies(), ServerOptions { head_max_bytes: 0, ..ServerOptions::default() }).await;
    let mut wire = server.connect().await;
    wire.send(format!("GET / HTTP/1.1\r\nx: {}\r\n\r\n", "x".repeat(9_000)).as_bytes()).await;
    assert!(wire.rest().await.starts_with("HTTP/1.1 431"));
    server.assert_alive().await;
}

#[tokio::test]
async fn too_large_a_body_is_told_while_the_client_is_still_sending() {
    let api = small_bodies();
    let server = start(&api).await;
    let body = "x".repeat(3_000_000);
    for framed in [
        format!("content-length: {}\r\n\r\n{body}", body.len()),
        format!("transfer-encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n", body.len()),
    ] {
        let mut wire = server.connect().await;
        wire.send(format!("{POST}{framed}").as_bytes()).await;
        let answer = wire.rest().await;
        assert!(answer.starts_with("HTTP/1.1 413") && answer.contains("urn:ed-fi:api:content-too-large"), "{answer}");
    }
    assert!(api.calls().is_empty());
    server.assert_alive().await;
}

#[tokio::test]
async fn a_client_that_asks_first_is_told_before_it_sends() {
    let api = small_bodies();
    let server = start(&api).await;
    let mut wire = server.connect().await;
    wire.send(format!("{POST}expect: 100-continue\r\ncontent-length: 101\r\n\r\n").as_bytes()).await;
    assert!(wire.rest().await.starts_with("HTTP/1.1 413"));
    let mut wire = server.connect().await;
    wire.send(format!("{POST}expect: 100-continue\r\ncontent-length: 2\r\n\r\n").as_bytes()).await;
    assert!(wire.receive("\r\n\r\n").await.starts_with("HTTP/1.1 100"));
    wire.send(b"{}").await;
    assert!(wire.receive("\r\n\r\n").await.starts_with("HTTP/1.1 201"));
    assert_eq!(api.calls().len(), 1);
}

#[tokio::test]
async fn a_body_that_stalls_is_refused() {
    let options = ApiOptions { body_timeout: Duration::from_millis(100), ..ApiOptions::default() };
    let api = Fake { options, ..Fake::default() }.start();
    let server = start(&api).await;
    let mut wire = server.connect().await;
    wire.send(format!("{POST}content-length: 50\r\n\r\n{{").as_bytes()).await;
    let answer = wire.rest().await;
    assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("urn:ed-fi:api:request-timeout"), "{answer}");
    assert!(api.calls().is_empty());
}

#[tokio::test]
async fn bodies_that_break_off_are_refused() {
    let api = small_bodies();
    let server = start(&api).await;
    let mut wire = server.connect().await;
    wire.send(format!("{POST}transfer-encoding: chunked\r\n\r\nzz\r\n").as_bytes()).await;
    let answer = wire.rest().await;
    assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("urn:ed-fi:api:bad-request"), "{answer}");
    let mut wire = server.connect().await;
    wire.send(format!("{POST}content-length: 50\r\n\r\n{{").as_bytes()).await;
    wire.hang_up();
    server.assert_alive().await;
    assert!(api.calls().is_empty());
}

#[tokio::test]
async fn more_than_was_announced_is_no_part_of_the_body() {
    let api = small_bodies();
    let server = start(&api).await;
    let mut wire = server.connect().await;
    wire.send(format!("{POST}content-length: 2\r\n\r\n{{}}more").as_bytes()).await;
    assert!(wire.receive("\r\n\r\n").await.starts_with("HTTP/1.1 201"));
    wire.send(b"\r\n\r\n").await;
    assert!(wire.rest().await.starts_with("HTTP/1.1 400"), "the rest is a request of its own, and none");
    assert_eq!(api.calls().len(), 1);
}

#[tokio::test]
async fn a_connection_serves_many_requests_also_after_a_panic() {
    let api = Fake { get: Box::new(|_| panic!("on purpose")), ..Fake::default() }.start();
    let server = start(&api).await;
    let mut wire = server.connect().await;
    for _ in 0..3 {
        wire.send(format!("GET /data/meadow/students/{ID} HTTP/1.1\r\nhost: localhost\r\n\r\n").as_bytes()).await;
        assert!(wire.receive("\"errors\":[]}").await.starts_with("HTTP/1.1 500"));
        wire.send(format!("{POST}content-length: 2\r\n\r\n{{}}").as_bytes()).await;
        assert!(wire.receive("\r\n\r\n").await.starts_with("HTTP/1.1 201"));
        wire.send(b"HEAD /data/meadow/students HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
        let head = wire.receive("\r\n\r\n").await;
        assert!(head.contains("content-length: 2\r\n") && head.ends_with("\r\n\r\n"), "{head}");
    }
    // Pipelined requests are answered in order.
    wire.send(format!("{POST}content-length: 2\r\n\r\n{{}}GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n").as_bytes())
        .await;
    let both = wire.receive("live\"}").await;
    assert!(both.starts_with("HTTP/1.1 201") && both.contains("HTTP/1.1 200"), "{both}");
}

#[tokio::test]
async fn a_connection_without_requests_is_closed() {
    let options = ServerOptions { head_timeout: Duration::from_secs(1), ..ServerOptions::default() };
    let server = Server::start(&small_bodies(), options).await;
    let mut silent = server.connect().await;
    let mut slow = server.connect().await;
    slow.send(b"GET / HTTP/1.1\r\nhost: localhost\r\n").await;
    let mut idle = server.connect().await;
    idle.send(b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    assert!(idle.receive("live\"}").await.starts_with("HTTP/1.1 200"));
    for wire in [&mut silent, &mut slow, &mut idle] {
        let rest = wire.rest().await;
        assert!(rest.is_empty() || rest.starts_with("HTTP/1.1 408"), "{rest}");
    }
}
