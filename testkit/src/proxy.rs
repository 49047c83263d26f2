//! A TCP proxy on loopback whose network can be made to fail.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, tcp},
    sync::watch,
    task::{JoinHandle, JoinSet},
};

/// Bytes moved at a time: small, so that a slow network is slow for small messages too.
const CHUNK_BYTES: usize = 16 * 1024;

/// What the network does at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Weather {
    /// Connections made before this count are broken.
    cuts: u64,
    /// Whether new connections are broken at once.
    refusing: bool,
    /// Whether bytes stay where they are.
    paused: bool,
    /// Pause before each chunk.
    delay: Duration,
}

/// Forwards connections from a loopback port to a target, and fails as told. Gone when dropped.
#[derive(Debug)]
pub struct FaultProxy {
    address: SocketAddr,
    weather: watch::Sender<Weather>,
    acceptor: JoinHandle<()>,
}

impl FaultProxy {
    /// Listens on a free port of 127.0.0.1 and forwards to `target`.
    pub async fn start(target: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let clear = Weather { cuts: 0, refusing: false, paused: false, delay: Duration::ZERO };
        let (weather, seen) = watch::channel(clear);
        let acceptor = tokio::spawn(accept(listener, target, seen));
        Self { address, weather, acceptor }
    }

    /// Where to connect to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Breaks every connection there is; new ones work.
    pub fn cut(&self) {
        self.weather.send_modify(|weather| weather.cuts += 1);
    }

    /// Breaks every connection there is, and new ones too until [`FaultProxy::restore`].
    pub fn refuse(&self) {
        self.weather.send_modify(|weather| {
            weather.cuts += 1;
            weather.refusing = true;
        });
    }

    /// Stops moving bytes, without breaking anything, until [`FaultProxy::restore`].
    pub fn pause(&self) {
        self.weather.send_modify(|weather| weather.paused = true);
    }

    /// Waits this long before each chunk, in each direction.
    pub fn slow_down(&self, delay: Duration) {
        self.weather.send_modify(|weather| weather.delay = delay);
    }

    /// Everything works again.
    pub fn restore(&self) {
        self.weather.send_modify(|weather| {
            *weather = Weather { refusing: false, paused: false, delay: Duration::ZERO, ..*weather }
        });
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.acceptor.abort();
    }
}

async fn accept(listener: TcpListener, target: SocketAddr, weather: watch::Receiver<Weather>) {
    // Dropped with this task, which ends all connections.
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        // A connection that failed before it was accepted is the client's affair.
        let Ok((client, _)) = listener.accept().await else { continue };
        if !weather.borrow().refusing {
            connections.spawn(forward(client, target, weather.clone()));
        }
    }
}

async fn forward(client: TcpStream, target: SocketAddr, weather: watch::Receiver<Weather>) {
    let Ok(server) = TcpStream::connect(target).await else { return };
    let made_at = weather.borrow().cuts;
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let mut broken = weather.clone();
    tokio::select! {
        () = pump(from_client, to_server, weather.clone()) => {}
        () = pump(from_server, to_client, weather) => {}
        _ = broken.wait_for(|now| now.cuts != made_at) => {}
    }
}

/// Moves bytes one way until either end closes. An error ends the connection, which is what the ends then see.
async fn pump(mut from: tcp::OwnedReadHalf, mut to: tcp::OwnedWriteHalf, mut weather: watch::Receiver<Weather>) {
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let Ok(length @ 1..) = from.read(&mut chunk).await else { return };
        let delay = match weather.wait_for(|now| !now.paused).await {
            Ok(now) => now.delay,
            Err(_) => return,
        };
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        if to.write_all(&chunk[..length]).await.is_err() {
            return;
        }
    }
}
