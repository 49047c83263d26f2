//! Those who write while things break: one loads the files, some make, edit and delete students, some rename hubs.

use crate::ledger::{Ledger, MARKED};
use crate::support::dice::Dice;
use crate::support::http::{Http, Reply};
use millstream_testkit::corpus::Document;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Pause after a server that is away was noticed.
const PAUSE: Duration = Duration::from_millis(20);

/// What all of them share.
pub(crate) struct Shared {
    pub(crate) ledger: Ledger,
    /// Answered writes.
    pub(crate) answered: AtomicU64,
    /// Writes without an answer that says what became of them.
    pub(crate) unanswered: AtomicU64,
    /// Refusals.
    pub(crate) refused: AtomicU64,
}

/// What became of a write.
enum Fate {
    Accepted(Reply),
    Refused,
    Unknown,
}

impl Shared {
    pub(crate) fn new() -> Arc<Self> {
        let zero = AtomicU64::default;
        Arc::new(Self { ledger: Ledger::default(), answered: zero(), unanswered: zero(), refused: zero() })
    }

    /// A success and a refusal are answers. Anything from 500 on is none: the commit may have been on its way.
    async fn fate(&self, reply: Result<Reply, reqwest::Error>) -> Fate {
        let (count, fate) = match reply {
            Ok(reply) if reply.is_success() => (&self.answered, Fate::Accepted(reply)),
            Ok(reply) if reply.status < 500 => (&self.refused, Fate::Refused),
            Ok(_) | Err(_) => (&self.unanswered, Fate::Unknown),
        };
        count.fetch_add(1, Ordering::Relaxed);
        if matches!(fate, Fate::Unknown) {
            tokio::time::sleep(PAUSE).await;
        }
        fate
    }
}

/// Posts the documents of the files, in order; what a rename gets in the way of once more later.
pub(crate) struct Loader {
    pub(crate) waiting: VecDeque<Document>,
}

impl Loader {
    pub(crate) async fn run(&mut self, http: &Http, shared: &Shared, stop: &CancellationToken) {
        while let Some(document) = self.waiting.pop_front() {
            if stop.is_cancelled() {
                self.waiting.push_front(document);
                return;
            }
            let path = format!("{}/{}", document.project, document.resource);
            match shared.fate(http.try_post(&path, document.body().to_vec()).await).await {
                Fate::Accepted(Reply { id: Some(uuid), etag: Some(version), .. }) => {
                    shared.ledger.written(uuid, format!("{path}/{uuid}"), version, None);
                }
                Fate::Accepted(reply) => panic!("accepted without an id or an etag: {reply:?}"),
                // It refers to something whose name is another one at the moment.
                Fate::Refused => self.waiting.push_back(document),
                Fate::Unknown => self.waiting.push_front(document),
            }
        }
    }
}

/// Makes students, edits them, and deletes some.
pub(crate) struct Editor {
    pub(crate) number: usize,
    /// `ed-fi/students`.
    pub(crate) path: String,
    /// A student to make others of.
    pub(crate) template: Value,
    pub(crate) dice: Dice,
    mine: Vec<(Uuid, Value)>,
    turns: u64,
}

impl Editor {
    pub(crate) fn new(number: usize, path: String, template: Value, dice: Dice) -> Self {
        Self { number, path, template, dice, mine: Vec::new(), turns: 0 }
    }

    pub(crate) async fn run(&mut self, http: &Http, shared: &Shared, stop: &CancellationToken) {
        while !stop.is_cancelled() {
            self.turns += 1;
            let mark = format!("mark {} {}", self.number, self.turns);
            if self.mine.len() < 5 || self.dice.chance(20) {
                self.make(http, shared, &mark).await;
            } else if self.dice.chance(10) {
                self.delete(http, shared).await;
            } else {
                self.edit(http, shared, &mark).await;
            }
        }
    }

    async fn make(&mut self, http: &Http, shared: &Shared, mark: &str) {
        let mut body = self.template.clone();
        body["studentUniqueId"] = json!(format!("T{}-{}", self.number, self.turns));
        body[MARKED] = json!(mark);
        // Without an answer its id is not known, so it cannot be missed.
        if let Fate::Accepted(reply) = shared.fate(http.try_post(&self.path, body.to_string()).await).await {
            let (uuid, version) = reply.id.zip(reply.etag).expect("an id and an etag");
            shared.ledger.written(uuid, format!("{}/{uuid}", self.path), version, Some(mark));
            body["id"] = json!(uuid);
            self.mine.push((uuid, body));
        }
    }

    async fn edit(&mut self, http: &Http, shared: &Shared, mark: &str) {
        let at = self.dice.below(self.mine.len());
        let (uuid, body) = &mut self.mine[at];
        body[MARKED] = json!(mark);
        let path = format!("{}/{uuid}", self.path);
        match shared.fate(http.try_put(&path, body.to_string()).await).await {
            Fate::Accepted(reply) => {
                shared.ledger.written(*uuid, path, reply.etag.expect("an etag"), Some(mark));
            }
            Fate::Refused => panic!("an edit of {path} was refused"),
            Fate::Unknown => shared.ledger.perhaps_marked(*uuid, mark),
        }
    }

    async fn delete(&mut self, http: &Http, shared: &Shared) {
        let at = self.dice.below(self.mine.len());
        let (uuid, _) = self.mine.swap_remove(at);
        match shared.fate(http.try_delete(&format!("{}/{uuid}", self.path)).await).await {
            Fate::Accepted(_) => shared.ledger.deleted(uuid, true),
            Fate::Refused => panic!("deleting {uuid} was refused"),
            Fate::Unknown => shared.ledger.deleted(uuid, false),
        }
    }
}

/// Renames hubs and gives them their names back.
pub(crate) struct Renamer {
    pub(crate) hubs: Vec<Hub>,
    pub(crate) dice: Dice,
    pub(crate) turns: u64,
}

/// A document whose identity many others embed.
#[derive(Debug, Clone)]
pub(crate) struct Hub {
    pub(crate) uuid: Uuid,
    /// Where it is, below `/data`.
    pub(crate) path: String,
    pub(crate) body: Value,
    /// The member of its identity that is changed.
    pub(crate) member: &'static str,
}

impl Renamer {
    pub(crate) async fn run(&mut self, http: &Http, shared: &Shared, stop: &CancellationToken) {
        while !stop.is_cancelled() {
            self.turns += 1;
            let hub = self.dice.pick(&self.hubs).clone();
            let mut renamed = hub.body.clone();
            renamed[hub.member] = json!(format!("Renamed {}", self.turns));
            Self::put(&hub, &renamed, http, shared).await;
            // What the files call it: otherwise nobody could refer to it for long.
            Self::put(&hub, &hub.body, http, shared).await;
        }
    }

    /// Gives all hubs the names that the files know them by.
    pub(crate) async fn restore(&self, http: &Http, shared: &Shared) {
        for hub in &self.hubs {
            Self::put(hub, &hub.body, http, shared).await;
        }
    }

    async fn put(hub: &Hub, body: &Value, http: &Http, shared: &Shared) {
        if let Fate::Accepted(reply) = shared.fate(http.try_put(&hub.path, body.to_string()).await).await {
            shared.ledger.written(hub.uuid, hub.path.clone(), reply.etag.expect("an etag"), None);
        }
    }
}
