//! A TCP proxy on loopback that simulates network faults.

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

/// Bytes moved at a time: few, so that a slow network also slows small messages.
const CHUNK_BYTES: usize = 16 * 1024;

/// The faults in effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct NetworkFaults {
    /// Number of cuts; connections made before the last one are broken.
    cuts: u64,
    /// New connections are broken at once.
    refusing: bool,
    /// No bytes are moved.
    paused: bool,
    /// Delay before each chunk.
    delay: Duration,
}

/// Forwards connections from a loopback port to a target, with the faults that a test sets. Dropping it ends the proxy.
#[derive(Debug)]
pub struct FaultProxy {
    address: SocketAddr,
    faults: watch::Sender<NetworkFaults>,
    acceptor: JoinHandle<()>,
}

impl FaultProxy {
    /// Listens on a free port of 127.0.0.1 and forwards to `target`.
    pub async fn start(target: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let none = NetworkFaults { cuts: 0, refusing: false, paused: false, delay: Duration::ZERO };
        let (faults, receiver) = watch::channel(none);
        let acceptor = tokio::spawn(accept(listener, target, receiver));
        Self { address, faults, acceptor }
    }

    /// Returns the address to connect to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Breaks all connections; new ones work.
    pub fn cut(&self) {
        self.faults.send_modify(|faults| faults.cuts += 1);
    }

    /// Breaks all connections, and new ones too until [`FaultProxy::restore`].
    pub fn refuse(&self) {
        self.faults.send_modify(|faults| {
            faults.cuts += 1;
            faults.refusing = true;
        });
    }

    /// Stops moving bytes without breaking connections, until [`FaultProxy::restore`].
    pub fn pause(&self) {
        self.faults.send_modify(|faults| faults.paused = true);
    }

    /// Delays each chunk in both directions.
    pub fn slow_down(&self, delay: Duration) {
        self.faults.send_modify(|faults| faults.delay = delay);
    }

    /// Ends all faults.
    pub fn restore(&self) {
        self.faults.send_modify(|faults| {
            *faults = NetworkFaults { refusing: false, paused: false, delay: Duration::ZERO, ..*faults }
        });
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.acceptor.abort();
    }
}

async fn accept(listener: TcpListener, target: SocketAddr, faults: watch::Receiver<NetworkFaults>) {
    // Dropped with this task, which ends all connections.
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        // The client sees a connection that fails before it is accepted.
        let Ok((client, _)) = listener.accept().await else { continue };
        if !faults.borrow().refusing {
            connections.spawn(forward(client, target, faults.clone()));
        }
    }
}

async fn forward(client: TcpStream, target: SocketAddr, faults: watch::Receiver<NetworkFaults>) {
    let Ok(server) = TcpStream::connect(target).await else { return };
    let made_at = faults.borrow().cuts;
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let mut broken = faults.clone();
    tokio::select! {
        () = pump(from_client, to_server, faults.clone()) => {}
        () = pump(from_server, to_client, faults) => {}
        _ = broken.wait_for(|now| now.cuts != made_at) => {}
    }
}

/// Moves bytes in one direction until either end closes. An error closes the connection for both ends.
async fn pump(mut from: tcp::OwnedReadHalf, mut to: tcp::OwnedWriteHalf, mut faults: watch::Receiver<NetworkFaults>) {
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let Ok(length @ 1..) = from.read(&mut chunk).await else { return };
        let delay = match faults.wait_for(|now| !now.paused).await {
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
