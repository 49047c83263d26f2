//! The record of answered writes. An answered write must survive any crash; an unanswered one may or may not be stored.

use super::http::Reply;
use futures::stream::{self, StreamExt};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use uuid::Uuid;

/// Requests in flight while answered writes are read.
const IN_FLIGHT: usize = 8;

/// The known state of one document. Only one client at a time writes to it, so responses are in order.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    /// Path below `/data`.
    pub(crate) path: String,
    /// Version of the last answered write.
    pub(crate) version: i64,
    /// Marks that the document may have: that of the last answered edit and those of later unanswered edits. Empty if
    /// its writer sets no marks.
    pub(crate) marks: BTreeSet<String>,
    /// A deletion was answered.
    pub(crate) deleted: bool,
    /// A deletion was requested and not answered.
    pub(crate) maybe_deleted: bool,
}

/// All documents with at least one answered write.
#[derive(Debug, Default)]
pub(crate) struct AnsweredWrites {
    documents: Mutex<BTreeMap<Uuid, Known>>,
}

impl AnsweredWrites {
    fn with<T>(&self, change: impl FnOnce(&mut BTreeMap<Uuid, Known>) -> T) -> T {
        change(&mut self.documents.lock().expect("not poisoned"))
    }

    fn known(&self, uuid: Uuid, change: impl FnOnce(&mut Known)) {
        self.with(|documents| documents.get_mut(&uuid).map(change)).expect("the document is known");
    }

    /// Records an answered POST or PUT. Without a mark, the marks of the document stay.
    pub(crate) fn written(&self, uuid: Uuid, path: String, version: i64, mark: Option<&str>) {
        self.with(|documents| {
            let known = documents.entry(uuid).or_insert_with(|| Known {
                path,
                version: 0,
                marks: BTreeSet::new(),
                deleted: false,
                maybe_deleted: false,
            });
            known.version = known.version.max(version);
            if let Some(mark) = mark {
                known.marks = BTreeSet::from([mark.to_owned()]);
            }
        });
    }

    /// Records an unanswered PUT.
    pub(crate) fn possibly_marked(&self, uuid: Uuid, mark: &str) {
        self.known(uuid, |known| known.marks.extend([mark.to_owned()]));
    }

    /// Records a DELETE, answered or not.
    pub(crate) fn deleted(&self, uuid: Uuid, answered: bool) {
        self.known(uuid, |known| {
            known.deleted |= answered;
            known.maybe_deleted |= !answered;
        });
    }

    /// Records that an unanswered deletion took effect.
    pub(crate) fn is_gone(&self, uuid: Uuid) {
        self.deleted(uuid, true);
    }

    /// Forgets what was written later than this result of [`AnsweredWrites::all`].
    pub(crate) fn return_to(&self, documents: Vec<(Uuid, Known)>) {
        self.with(|present| *present = documents.into_iter().collect());
    }

    /// Returns all known documents.
    pub(crate) fn all(&self) -> Vec<(Uuid, Known)> {
        self.with(|documents| documents.iter().map(|(uuid, known)| (*uuid, known.clone())).collect())
    }

    /// Reads every known document; returns the contradictions, and those that `also` finds in a body. `read` returns
    /// `None` without an answer, which is one too.
    pub(crate) async fn contradictions(
        &self,
        read: impl AsyncFn(&str) -> Option<Reply>,
        also: impl Fn(&Known, &Value) -> Option<String>,
    ) -> Vec<String> {
        let (read, also) = (&read, &also);
        let checks = stream::iter(self.all()).map(|(uuid, known)| async move {
            let Some(reply) = read(&known.path).await else { return Some(format!("{}: no answer", known.path)) };
            let body = if reply.status == 200 { reply.json() } else { Value::Null };
            if reply.status == 404 && known.maybe_deleted {
                self.is_gone(uuid);
            }
            let found = known.contradiction(reply.status, reply.etag, &body).or_else(|| also(&known, &body));
            found.map(|text| format!("{}: {text}", known.path))
        });
        checks.buffer_unordered(IN_FLIGHT).filter_map(std::future::ready).collect().await
    }
}

impl Known {
    /// Returns the contradiction between this state and a GET response, if any.
    pub(crate) fn contradiction(&self, status: u16, etag: Option<i64>, body: &Value) -> Option<String> {
        if self.deleted {
            return (status != 404).then(|| format!("deleted, but served with status {status}"));
        }
        if status == 404 && self.maybe_deleted {
            return None;
        }
        let Some(etag) = etag.filter(|_| status == 200) else {
            return Some(format!("accepted at version {}, but missing ({status})", self.version));
        };
        if etag < self.version {
            return Some(format!("accepted at version {}, but served at {etag}", self.version));
        }
        let mark = mark_of(body);
        let is_known = self.marks.is_empty() || mark.is_some_and(|mark| self.marks.contains(mark));
        (!is_known).then(|| format!("has mark {mark:?} instead of one of {:?}", self.marks))
    }
}

/// The member of a student that holds the mark of its last edit.
pub(crate) const MARKED: &str = "firstName";

/// Returns the mark of a document.
pub(crate) fn mark_of(body: &Value) -> Option<&str> {
    body[MARKED].as_str()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_lost_or_older_or_other_document_is_noticed() {
        let writes = AnsweredWrites::default();
        let uuid = Uuid::nil();
        writes.written(uuid, String::new(), 7, Some("a"));
        writes.possibly_marked(uuid, "b");
        let known = writes.all().pop().expect("one document").1;
        for mark in ["a", "b"] {
            assert_eq!(known.contradiction(200, Some(7), &json!({MARKED: mark})), None);
        }
        assert!(known.contradiction(404, None, &Value::Null).is_some());
        assert!(known.contradiction(200, Some(6), &json!({MARKED: "a"})).is_some());
        assert!(known.contradiction(200, Some(7), &json!({MARKED: "c"})).is_some());
        writes.deleted(uuid, false);
        let known = writes.all().pop().expect("one document").1;
        assert_eq!(known.contradiction(404, None, &Value::Null), None);
        writes.deleted(uuid, true);
        let known = writes.all().pop().expect("one document").1;
        assert!(known.contradiction(200, Some(9), &json!({MARKED: "a"})).is_some());
        assert_eq!(known.contradiction(404, None, &Value::Null), None);
    }
}
