//! A real Kafka Connect worker with Debezium's PostgreSQL connector.

use std::fs;
use std::path::PathBuf;
use std::process::Child;

use nix::sys::signal::Signal;

use super::node::{Node, folder, free_ports};

/// Offsets are written this often, so that a killed worker does not repeat all it ever sent.
const WORKER: &str = "\
key.converter=org.apache.kafka.connect.storage.StringConverter
value.converter=org.apache.kafka.connect.json.JsonConverter
offset.flush.interval.ms=1000
";
/// What the log says when a connector is beyond repair.
const FAILED: [&str; 2] = ["Task threw an uncaught and unrecoverable exception", "Failed to create connector"];

/// A standalone worker of our own. It ends with this process, however that ends.
#[derive(Debug)]
pub struct ConnectWorker {
    node: Node,
    directory: PathBuf,
    // Its standard input is the pipe that tells it of our end.
    _watchdog: Child,
}

impl ConnectWorker {
    /// Starts a worker with these connectors, each a name and its configuration in JSON. Returns at once: the connectors
    /// run when their replication slots are active.
    pub fn start(bootstrap_servers: &str, connectors: &[(String, String)]) -> Self {
        let (directory, watchdog) = folder("millstream-connect-");
        let port = free_ports(1)[0];
        let worker = directory.join("worker.properties");
        let properties = format!("bootstrap.servers={bootstrap_servers}\nlisteners=http://127.0.0.1:{port}\n{WORKER}");
        fs::write(&worker, properties).expect("the worker's properties can be written");
        let mut rest = vec![worker.display().to_string()];
        for (name, json) in connectors {
            let file = directory.join(format!("{name}.json"));
            fs::write(&file, json).expect("a connector's file can be written");
            rest.push(file.display().to_string());
        }
        let mut node = Node::new(&directory, "worker".to_owned(), "run-connect", rest, Vec::new());
        node.launch();
        Self { node, directory, _watchdog: watchdog }
    }

    /// The folder with everything of it.
    pub fn directory(&self) -> &std::path::Path {
        &self.directory
    }

    /// Panics with the end of the log if the worker ended or one of its connectors failed.
    pub fn check(&mut self) {
        let log = self.node.log();
        let failed = FAILED.iter().find(|failed| log.contains(*failed));
        assert!(
            failed.is_none() && !self.node.ended(),
            "Kafka Connect failed; its log ends with:\n{}",
            self.node.log_end()
        );
    }

    /// Kills it and waits for its end.
    pub fn kill(&mut self) {
        self.node.end(Signal::SIGKILL);
    }

    /// Starts it again, with the offsets that it had stored.
    pub fn restart(&mut self) {
        self.node.launch();
    }
}
