//! A TCP proxy on loopback that simulates network faults.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use socket2::{SockFilter, SockRef};
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
    /// Number of black holes; connections made before the last one get no more packets.
    holes: u64,
    /// Address to which new connections are forwarded.
    target: SocketAddr,
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
        let none = NetworkFaults { cuts: 0, refusing: false, paused: false, delay: Duration::ZERO, holes: 0, target };
        let (faults, receiver) = watch::channel(none);
        let acceptor = tokio::spawn(accept(listener, receiver));
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

    /// Drops all packets of all connections without a word, like a host that lost its power: neither data nor probes are
    /// acknowledged, and nothing is closed. New connections work. Nothing restores the others.
    pub fn black_hole(&self) {
        self.faults.send_modify(|faults| faults.holes += 1);
    }

    /// Breaks all connections, and forwards new ones to another address.
    pub fn redirect(&self, target: SocketAddr) {
        self.faults.send_modify(|faults| {
            faults.cuts += 1;
            faults.target = target;
        });
    }

    /// Delays each chunk in both directions.
    pub fn slow_down(&self, delay: Duration) {
        self.faults.send_modify(|faults| faults.delay = delay);
    }

    /// Ends all faults of the present and of new connections, except black holes.
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

async fn accept(listener: TcpListener, faults: watch::Receiver<NetworkFaults>) {
    // Dropped with this task, which ends all connections.
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        // The client sees a connection that fails before it is accepted.
        let Ok((client, _)) = listener.accept().await else { continue };
        if !faults.borrow().refusing {
            connections.spawn(forward(client, faults.clone()));
        }
    }
}

async fn forward(mut client: TcpStream, faults: watch::Receiver<NetworkFaults>) {
    let made = *faults.borrow();
    let Ok(mut server) = TcpStream::connect(made.target).await else { return };
    let (from_client, to_client) = client.split();
    let (from_server, to_server) = server.split();
    let (mut broken, mut lost) = (faults.clone(), faults.clone());
    let is_in_black_hole = tokio::select! {
        () = pump(from_client, to_server, faults.clone()) => false,
        () = pump(from_server, to_client, faults) => false,
        _ = broken.wait_for(|now| now.cuts != made.cuts) => false,
        _ = lost.wait_for(|now| now.holes != made.holes) => true,
    };
    if is_in_black_hole {
        for stream in [&client, &server] {
            drop_all_packets(stream);
        }
        // To close them would tell both ends.
        std::future::pending().await
    }
}

/// Lets the kernel drop what arrives for a connection, before it would acknowledge it.
fn drop_all_packets(stream: &TcpStream) {
    // The filter's only instruction: return 0 bytes of each packet (BPF_RET | BPF_K).
    let nothing = SockFilter::new(0x06, 0, 0, 0);
    SockRef::from(stream).attach_filter(&[nothing]).expect("a filter can be attached");
}

/// Moves bytes in one direction until either end closes. An error closes the connection for both ends.
async fn pump(mut from: tcp::ReadHalf<'_>, mut to: tcp::WriteHalf<'_>, mut faults: watch::Receiver<NetworkFaults>) {
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
