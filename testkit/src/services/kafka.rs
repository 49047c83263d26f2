//! A real Kafka cluster of one or three brokers.

use std::path::PathBuf;
use std::process::Child;

use nix::sys::signal::Signal;
use tokio::sync::OnceCell;

use super::node::{Node, free_ports, node_directory};

const READY: &str = "Kafka Server started";
/// Attempts to start: a port can be taken between its choice and its use.
const TRIES: usize = 3;
const PORT_TAKEN: [&str; 2] = ["Address already in use", "BindException"];

/// Options of a Kafka cluster for tests.
#[derive(Debug, Clone)]
pub struct BrokerOptions {
    /// Number of brokers, 1 or 3.
    pub nodes: usize,
    /// Adds a second listener that requires [`KafkaBroker::SASL_USER`] and its password (PLAIN, SCRAM-SHA-256).
    pub sasl: bool,
    /// Additional lines of `server.properties`.
    pub properties: String,
}

impl Default for BrokerOptions {
    fn default() -> Self {
        Self { nodes: 1, sasl: false, properties: String::new() }
    }
}

/// A Kafka cluster. It ends with this process, however that ends.
#[derive(Debug)]
pub struct KafkaBroker {
    nodes: Vec<Node>,
    ports: Vec<u16>,
    sasl_ports: Vec<u16>,
    directory: PathBuf,
    // Its standard input is the pipe that closes when this process ends.
    _watchdog: Child,
}

impl KafkaBroker {
    /// User of the SASL listener.
    pub const SASL_USER: &str = "millstream";
    /// Password of the SASL user.
    pub const SASL_PASSWORD: &str = "a-secret-of-the-test";

    /// Returns the broker, with SASL, that all tests of this process share. Do not stop it.
    pub async fn shared() -> &'static Self {
        static SHARED: OnceCell<KafkaBroker> = OnceCell::const_new();
        SHARED.get_or_init(|| Self::start(BrokerOptions { sasl: true, ..BrokerOptions::default() })).await
    }

    /// Starts a separate cluster, for tests that stop or kill it. Returns when every broker is ready.
    pub async fn start(options: BrokerOptions) -> Self {
        for _ in 1..TRIES {
            match Self::try_start(&options).await {
                Ok(broker) => return broker,
                Err(log) if PORT_TAKEN.iter().any(|taken| log.contains(taken)) => {}
                Err(log) => {
                    panic!("Kafka did not start; is it installed (scripts/services install)? Its log ends with:\n{log}")
                }
            }
        }
        Self::try_start(&options)
            .await
            .unwrap_or_else(|log| panic!("Kafka found no free ports; its log ends with:\n{log}"))
    }

    async fn try_start(options: &BrokerOptions) -> Result<Self, String> {
        let count = options.nodes;
        let mut ports = free_ports(3 * count);
        let sasl_ports = ports.split_off(2 * count);
        let controllers = ports.split_off(count);
        let voters: Vec<String> =
            controllers.iter().zip(1..).map(|(port, id)| format!("{id}@127.0.0.1:{port}")).collect();
        let (directory, watchdog) = node_directory("millstream-kafka-");
        let node = |at: usize| {
            let numbers = [at + 1, usize::from(ports[at]), usize::from(controllers[at])];
            let mut rest: Vec<String> = numbers.map(|number| number.to_string()).into();
            rest.push(voters.join(","));
            let mut environment = vec![("EXTRA_PROPS".to_owned(), options.properties.clone())];
            if options.sasl {
                environment.push(("KAFKA_SASL_PORT".to_owned(), sasl_ports[at].to_string()));
                environment.push(("KAFKA_SASL_USER".to_owned(), Self::SASL_USER.to_owned()));
                environment.push(("KAFKA_SASL_PASSWORD".to_owned(), Self::SASL_PASSWORD.to_owned()));
            }
            Node::new(&directory, format!("node{}", at + 1), "run-kafka", rest, environment)
        };
        let nodes = (0..count).map(node).collect();
        let sasl_ports = if options.sasl { sasl_ports } else { Vec::new() };
        let mut broker = Self { nodes, ports, sasl_ports, directory, _watchdog: watchdog };
        for node in &mut broker.nodes {
            node.launch();
        }
        for node in &mut broker.nodes {
            node.ready(READY).await?;
        }
        Ok(broker)
    }

    /// Returns `host:port,…` of all brokers.
    pub fn bootstrap_servers(&self) -> String {
        addresses(&self.ports)
    }

    /// Returns `host:port,…` of the SASL listeners.
    pub fn sasl_bootstrap_servers(&self) -> String {
        assert!(!self.sasl_ports.is_empty(), "this Kafka was started without SASL");
        addresses(&self.sasl_ports)
    }

    /// Returns the port of broker number `node`, from 0.
    pub fn port(&self, node: usize) -> u16 {
        self.ports[node]
    }

    /// Returns the directory with all files of the cluster.
    pub fn directory(&self) -> &std::path::Path {
        &self.directory
    }

    /// Returns the process id of broker number `node`, from 0.
    pub fn pid(&self, node: usize) -> u32 {
        self.nodes[node].pid()
    }

    /// Kills a broker and waits for its end.
    pub fn kill(&mut self, node: usize) {
        self.nodes[node].end(Signal::SIGKILL);
    }

    /// Stops a broker cleanly and waits for its end.
    pub fn stop(&mut self, node: usize) {
        self.nodes[node].end(Signal::SIGTERM);
    }

    /// Pauses a broker: it keeps its connections and does not respond.
    pub fn pause(&self, node: usize) {
        self.nodes[node].signal(Signal::SIGSTOP);
    }

    /// Resumes a broker.
    pub fn resume(&self, node: usize) {
        self.nodes[node].signal(Signal::SIGCONT);
    }

    /// Starts a broker again on its ports, killing it first if it runs, and waits until it is ready.
    pub async fn restart(&mut self, node: usize) {
        let node = &mut self.nodes[node];
        if node.runs() {
            node.end(Signal::SIGKILL);
        }
        node.launch();
        node.ready(READY).await.unwrap_or_else(|log| panic!("the broker did not restart; its log ends with:\n{log}"));
    }
}

fn addresses(ports: &[u16]) -> String {
    ports.iter().map(|port| format!("127.0.0.1:{port}")).collect::<Vec<_>>().join(",")
}
