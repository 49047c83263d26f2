//! A real OpenSearch node.

use std::path::PathBuf;
use std::process::Child;
use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::OnceCell;

use super::node::{Node, free_ports, node_directory};
use crate::wait::wait_until;

/// Log text of a node that accepts requests.
const STARTED: &str = "[o.o.n.Node] started";
/// Attempts to start: a port can be taken between its choice and its use.
const TRIES: usize = 3;
const PORT_TAKEN: &str = "BindHttpException";
/// Time limit from accepting requests to having all shards.
const YELLOW_DEADLINE: Duration = Duration::from_secs(60);
const HEALTH: &str = "/_cluster/health?wait_for_status=yellow&timeout=1s";

/// An OpenSearch node. It ends with this process, however that ends.
#[derive(Debug)]
pub struct OpenSearchNode {
    node: Node,
    port: u16,
    directory: PathBuf,
    // Its standard input is the pipe that closes when this process ends.
    _watchdog: Child,
}

impl OpenSearchNode {
    /// Returns the node that all tests of this process share. Do not stop it.
    pub async fn shared() -> &'static Self {
        static SHARED: OnceCell<OpenSearchNode> = OnceCell::const_new();
        SHARED.get_or_init(Self::start).await
    }

    /// Starts a separate node, for tests that stop or kill it. Returns when it responds and has its shards.
    pub async fn start() -> Self {
        for _ in 1..TRIES {
            match Self::try_start().await {
                Ok(node) => return node,
                Err(log) if log.contains(PORT_TAKEN) => {}
                Err(log) => panic!(
                    "OpenSearch did not start; is it installed (scripts/services install)? Its log ends with:\n{log}"
                ),
            }
        }
        Self::try_start()
            .await
            .unwrap_or_else(|log| panic!("OpenSearch found no free ports; its log ends with:\n{log}"))
    }

    async fn try_start() -> Result<Self, String> {
        let ports = free_ports(2);
        let (directory, watchdog) = node_directory("millstream-opensearch-");
        let rest = ports.iter().map(u16::to_string).collect();
        let node = Node::new(&directory, "node1".to_owned(), "run-opensearch", rest, Vec::new());
        let mut this = Self { node, port: ports[0], directory, _watchdog: watchdog };
        this.launch().await?;
        Ok(this)
    }

    async fn launch(&mut self) -> Result<(), String> {
        self.node.launch();
        self.node.ready(STARTED).await?;
        let port = self.port;
        wait_until("OpenSearch to have its shards", YELLOW_DEADLINE, || is_yellow(port)).await;
        Ok(())
    }

    /// Returns `http://127.0.0.1:port`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    /// Returns the address of its HTTP port.
    pub fn address(&self) -> std::net::SocketAddr {
        (std::net::Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// Returns the directory with all files of the node.
    pub fn directory(&self) -> &std::path::Path {
        &self.directory
    }

    /// Returns the process id of the node.
    pub fn pid(&self) -> u32 {
        self.node.pid()
    }

    /// Kills the node and waits for its end.
    pub fn kill(&mut self) {
        self.node.end(Signal::SIGKILL);
    }

    /// Stops the node cleanly and waits for its end.
    pub fn stop(&mut self) {
        self.node.end(Signal::SIGTERM);
    }

    /// Pauses the node: it keeps its connections and does not respond.
    pub fn pause(&self) {
        self.node.signal(Signal::SIGSTOP);
    }

    /// Resumes the node.
    pub fn resume(&self) {
        self.node.signal(Signal::SIGCONT);
    }

    /// Starts the node again on its port, killing it first if it is running, and waits until it has its shards.
    pub async fn restart(&mut self) {
        if self.node.runs() {
            self.node.end(Signal::SIGKILL);
        }
        self.launch().await.unwrap_or_else(|log| panic!("OpenSearch did not restart; its log ends with:\n{log}"));
    }
}

/// Returns whether every primary shard is assigned. The request is written by hand because nothing else here needs a
/// client.
async fn is_yellow(port: u16) -> bool {
    let response = async {
        let mut stream = TcpStream::connect((std::net::Ipv4Addr::LOCALHOST, port)).await?;
        let request = format!("GET {HEALTH} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut text = String::new();
        stream.read_to_string(&mut text).await?;
        std::io::Result::Ok(text.starts_with("HTTP/1.1 200"))
    };
    response.await.unwrap_or(false)
}
