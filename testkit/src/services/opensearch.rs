//! A real OpenSearch of one node.

use std::path::PathBuf;
use std::process::Child;
use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::OnceCell;

use super::node::{Node, folder, free_ports};
use crate::wait::wait_until;

/// What the log says when the node accepts requests.
const STARTED: &str = "[o.o.n.Node] started";
/// A port can be taken between its choice and its use.
const TRIES: usize = 3;
const PORT_TAKEN: &str = "BindHttpException";
/// From accepting requests to having all its shards back.
const YELLOW_WITHIN: Duration = Duration::from_secs(60);
const HEALTH: &str = "/_cluster/health?wait_for_status=yellow&timeout=1s";

/// A node of our own. It ends with this process, however that ends.
#[derive(Debug)]
pub struct OpenSearchNode {
    node: Node,
    port: u16,
    directory: PathBuf,
    // Its standard input is the pipe that tells it of our end.
    _watchdog: Child,
}

impl OpenSearchNode {
    /// The one node that all tests of this process share. Nobody stops it.
    pub async fn shared() -> &'static Self {
        static SHARED: OnceCell<OpenSearchNode> = OnceCell::const_new();
        SHARED.get_or_init(Self::start).await
    }

    /// A node of its own, for tests that stop or kill it. Returns when it answers and has its shards.
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
        let (directory, watchdog) = folder("millstream-opensearch-");
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
        wait_until("OpenSearch to have its shards", YELLOW_WITHIN, || is_yellow(port)).await;
        Ok(())
    }

    /// `http://127.0.0.1:port`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    /// Where it listens.
    pub fn address(&self) -> std::net::SocketAddr {
        (std::net::Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// The folder with everything of it.
    pub fn directory(&self) -> &std::path::Path {
        &self.directory
    }

    /// Process id.
    pub fn pid(&self) -> u32 {
        self.node.pid()
    }

    /// Kills it and waits for its end.
    pub fn kill(&mut self) {
        self.node.end(Signal::SIGKILL);
    }

    /// Stops it in order and waits for its end.
    pub fn stop(&mut self) {
        self.node.end(Signal::SIGTERM);
    }

    /// Halts it: it keeps its connections and answers nothing.
    pub fn pause(&self) {
        self.node.signal(Signal::SIGSTOP);
    }

    /// Lets it go on.
    pub fn resume(&self) {
        self.node.signal(Signal::SIGCONT);
    }

    /// Starts it again on its port, killing it first if it runs, and waits until it has its shards.
    pub async fn restart(&mut self) {
        if self.node.runs() {
            self.node.end(Signal::SIGKILL);
        }
        self.launch().await.unwrap_or_else(|log| panic!("OpenSearch did not come back; its log ends with:\n{log}"));
    }
}

/// Whether every primary shard is there. Spoken by hand: this crate has no other use for a client.
async fn is_yellow(port: u16) -> bool {
    let asked = async {
        let mut stream = TcpStream::connect((std::net::Ipv4Addr::LOCALHOST, port)).await?;
        let request = format!("GET {HEALTH} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        std::io::Result::Ok(answer.starts_with("HTTP/1.1 200"))
    };
    asked.await.unwrap_or(false)
}
