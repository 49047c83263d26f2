//! The clients that write during faults: a loader, several editors of students, and a renamer of hubs.

use crate::support::answered_writes::{AnsweredWrites, MARKED};
use crate::support::http::{Http, Reply};
use crate::support::random::Random;
use millstream_testkit::corpus::Document;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Pause after a write without a response.
const PAUSE: Duration = Duration::from_millis(20);

/// The log of all clients.
pub(crate) struct ClientLog {
    pub(crate) writes: AnsweredWrites,
    /// Accepted writes.
    pub(crate) answered: AtomicU64,
    /// Writes with an unknown outcome: no response, or a status of 500 and above.
    pub(crate) unanswered: AtomicU64,
    /// Refused writes.
    pub(crate) refused: AtomicU64,
}

/// Outcome of a write.
enum WriteOutcome {
    Accepted(Reply),
    Refused,
    Unknown,
}

impl ClientLog {
    pub(crate) fn new() -> Arc<Self> {
        let zero = AtomicU64::default;
        Arc::new(Self { writes: AnsweredWrites::default(), answered: zero(), unanswered: zero(), refused: zero() })
    }

    /// Classifies and counts a response. From status 500 on the outcome is unknown: the commit may have been in flight.
    async fn classify(&self, reply: Result<Reply, reqwest::Error>) -> WriteOutcome {
        let (count, outcome) = match reply {
            Ok(reply) if reply.is_success() => (&self.answered, WriteOutcome::Accepted(reply)),
            Ok(reply) if reply.status < 500 => (&self.refused, WriteOutcome::Refused),
            Ok(_) | Err(_) => (&self.unanswered, WriteOutcome::Unknown),
        };
        count.fetch_add(1, Ordering::Relaxed);
        if matches!(outcome, WriteOutcome::Unknown) {
            tokio::time::sleep(PAUSE).await;
        }
        outcome
    }
}

/// Posts the documents of the files in order. A document refused because of a concurrent rename is posted again later.
pub(crate) struct Loader {
    pub(crate) waiting: VecDeque<Document>,
}

impl Loader {
    pub(crate) async fn run(&mut self, http: &Http, log: &ClientLog, stop: &CancellationToken) {
        while let Some(document) = self.waiting.pop_front() {
            if stop.is_cancelled() {
                self.waiting.push_front(document);
                return;
            }
            let path = format!("{}/{}", document.project, document.resource);
            match log.classify(http.try_post(&path, document.body().to_vec()).await).await {
                WriteOutcome::Accepted(Reply { id: Some(uuid), etag: Some(version), .. }) => {
                    log.writes.written(uuid, format!("{path}/{uuid}"), version, None);
                }
                WriteOutcome::Accepted(reply) => panic!("accepted without an id or an etag: {reply:?}"),
                // The document that it refers to has another name at the moment.
                WriteOutcome::Refused => self.waiting.push_back(document),
                WriteOutcome::Unknown => self.waiting.push_front(document),
            }
        }
    }
}

/// Creates students, edits them, and deletes some.
pub(crate) struct Editor {
    pub(crate) number: usize,
    /// Endpoint, such as `ed-fi/students`.
    pub(crate) path: String,
    /// Body from which new students are made.
    pub(crate) template: Value,
    pub(crate) random: Random,
    students: Vec<(Uuid, Value)>,
    writes: u64,
}

impl Editor {
    pub(crate) fn new(number: usize, path: String, template: Value, random: Random) -> Self {
        Self { number, path, template, random, students: Vec::new(), writes: 0 }
    }

    pub(crate) async fn run(&mut self, http: &Http, log: &ClientLog, stop: &CancellationToken) {
        while !stop.is_cancelled() {
            self.writes += 1;
            let mark = format!("mark {} {}", self.number, self.writes);
            if self.students.len() < 5 || self.random.chance(20) {
                self.create(http, log, &mark).await;
            } else if self.random.chance(10) {
                self.delete(http, log).await;
            } else {
                self.edit(http, log, &mark).await;
            }
        }
    }

    async fn create(&mut self, http: &Http, log: &ClientLog, mark: &str) {
        let mut body = self.template.clone();
        body["studentUniqueId"] = json!(format!("T{}-{}", self.number, self.writes));
        body[MARKED] = json!(mark);
        // Without a response the id is unknown, so the document cannot be checked.
        if let WriteOutcome::Accepted(reply) = log.classify(http.try_post(&self.path, body.to_string()).await).await {
            let (uuid, version) = reply.id.zip(reply.etag).expect("an id and an etag");
            log.writes.written(uuid, format!("{}/{uuid}", self.path), version, Some(mark));
            body["id"] = json!(uuid);
            self.students.push((uuid, body));
        }
    }

    async fn edit(&mut self, http: &Http, log: &ClientLog, mark: &str) {
        let at = self.random.below(self.students.len());
        let (uuid, body) = &mut self.students[at];
        body[MARKED] = json!(mark);
        let path = format!("{}/{uuid}", self.path);
        match log.classify(http.try_put(&path, body.to_string()).await).await {
            WriteOutcome::Accepted(reply) => {
                log.writes.written(*uuid, path, reply.etag.expect("an etag"), Some(mark));
            }
            WriteOutcome::Refused => panic!("an edit of {path} was refused"),
            WriteOutcome::Unknown => log.writes.possibly_marked(*uuid, mark),
        }
    }

    async fn delete(&mut self, http: &Http, log: &ClientLog) {
        let at = self.random.below(self.students.len());
        let (uuid, _) = self.students.swap_remove(at);
        match log.classify(http.try_delete(&format!("{}/{uuid}", self.path)).await).await {
            WriteOutcome::Accepted(_) => log.writes.deleted(uuid, true),
            WriteOutcome::Refused => panic!("deleting {uuid} was refused"),
            WriteOutcome::Unknown => log.writes.deleted(uuid, false),
        }
    }
}

/// Renames hubs and restores their names.
pub(crate) struct Renamer {
    pub(crate) hubs: Vec<Hub>,
    pub(crate) random: Random,
    pub(crate) writes: u64,
}

/// A document whose identity many others embed.
#[derive(Debug, Clone)]
pub(crate) struct Hub {
    pub(crate) uuid: Uuid,
    /// Path below `/data`.
    pub(crate) path: String,
    pub(crate) body: Value,
    /// The identity member that is changed.
    pub(crate) member: &'static str,
}

impl Renamer {
    pub(crate) async fn run(&mut self, http: &Http, log: &ClientLog, stop: &CancellationToken) {
        while !stop.is_cancelled() {
            self.writes += 1;
            let hub = self.random.pick(&self.hubs).clone();
            let mut renamed = hub.body.clone();
            renamed[hub.member] = json!(format!("Renamed {}", self.writes));
            Self::put(&hub, &renamed, http, log).await;
            // Restore the name in the files: the loader refers to the hub by that name.
            Self::put(&hub, &hub.body, http, log).await;
        }
    }

    /// Restores the names that all hubs have in the files.
    pub(crate) async fn restore(&self, http: &Http, log: &ClientLog) {
        for hub in &self.hubs {
            Self::put(hub, &hub.body, http, log).await;
        }
    }

    async fn put(hub: &Hub, body: &Value, http: &Http, log: &ClientLog) {
        if let WriteOutcome::Accepted(reply) = log.classify(http.try_put(&hub.path, body.to_string()).await).await {
            log.writes.written(hub.uuid, hub.path.clone(), reply.etag.expect("an etag"), None);
        }
    }
}
