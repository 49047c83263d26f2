//! A real Kafka Connect worker with Debezium's PostgreSQL connector.

use std::fs;
use std::path::PathBuf;
use std::process::Child;

use nix::sys::signal::Signal;

use super::node::{Node, free_ports, node_directory};

/// Settings of the worker. Offsets are flushed every second, so that a killed worker repeats little.
const WORKER: &str = "\
key.converter=org.apache.kafka.connect.storage.StringConverter
value.converter=org.apache.kafka.connect.json.JsonConverter
offset.flush.interval.ms=1000
";
/// Log texts of a failed connector.
const FAILED: [&str; 2] = ["Task threw an uncaught and unrecoverable exception", "Failed to create connector"];

/// A standalone worker. It ends with this process, however that ends.
#[derive(Debug)]
pub struct ConnectWorker {
    node: Node,
    directory: PathBuf,
    // Its standard input is the pipe that closes when this process ends.
    _watchdog: Child,
}

impl ConnectWorker {
    /// Starts a worker with these connectors, each a name with its JSON configuration. Returns at once; a connector
    /// runs once its replication slot is active.
    pub fn start(bootstrap_servers: &str, connectors: &[(String, String)]) -> Self {
        let (directory, watchdog) = node_directory("millstream-connect-");
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

    /// Returns the directory with all files of the worker.
    pub fn directory(&self) -> &std::path::Path {
        &self.directory
    }

    /// Panics with the end of the log if the worker has ended or a connector has failed.
    pub fn check(&mut self) {
        let log = self.node.log();
        let failed = FAILED.iter().find(|failed| log.contains(*failed));
        assert!(
            failed.is_none() && !self.node.ended(),
            "Kafka Connect failed; its log ends with:\n{}",
            self.node.log_end()
        );
    }

    /// Kills the worker and waits for its end.
    pub fn kill(&mut self) {
        self.node.end(Signal::SIGKILL);
    }

    /// Starts the worker again with its stored offsets.
    pub fn restart(&mut self) {
        self.node.launch();
    }
}
