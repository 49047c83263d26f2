//! What was answered. A write that got its answer must be there after any crash; one that did not may be there or not.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use uuid::Uuid;

/// What is known of one document. Only one client at a time writes to it, so its answers come in order.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    /// Where it is, below `/data`.
    pub(crate) path: String,
    /// The version of the last answer.
    pub(crate) version: i64,
    /// The marks that it may bear: that of the last answered edit, and those of later edits without an answer. Empty if
    /// nobody marks it.
    pub(crate) marks: BTreeSet<String>,
    /// Its deletion was answered.
    pub(crate) deleted: bool,
    /// Its deletion was asked for, and there was no answer.
    pub(crate) maybe_deleted: bool,
}

/// All documents that were ever answered for.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    documents: Mutex<BTreeMap<Uuid, Known>>,
}

impl Ledger {
    fn with<T>(&self, change: impl FnOnce(&mut BTreeMap<Uuid, Known>) -> T) -> T {
        change(&mut self.documents.lock().expect("nobody panics with the lock"))
    }

    fn known(&self, uuid: Uuid, change: impl FnOnce(&mut Known)) {
        self.with(|documents| documents.get_mut(&uuid).map(change)).expect("only known documents are written to");
    }

    /// An answered POST or PUT. Without a mark, the document's marks stay.
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

    /// A PUT without an answer.
    pub(crate) fn perhaps_marked(&self, uuid: Uuid, mark: &str) {
        self.known(uuid, |known| known.marks.extend([mark.to_owned()]));
    }

    /// A DELETE with or without an answer.
    pub(crate) fn deleted(&self, uuid: Uuid, answered: bool) {
        self.known(uuid, |known| {
            known.deleted |= answered;
            known.maybe_deleted |= !answered;
        });
    }

    /// Found gone: a deletion without an answer had happened.
    pub(crate) fn is_gone(&self, uuid: Uuid) {
        self.deleted(uuid, true);
    }

    /// Everything that is known.
    pub(crate) fn all(&self) -> Vec<(Uuid, Known)> {
        self.with(|documents| documents.iter().map(|(uuid, known)| (*uuid, known.clone())).collect())
    }
}

impl Known {
    /// What is wrong with an answer to a GET, if anything.
    pub(crate) fn contradiction(&self, status: u16, etag: Option<i64>, body: &Value) -> Option<String> {
        if self.deleted {
            return (status != 404).then(|| format!("deleted, and there again ({status})"));
        }
        if status == 404 && self.maybe_deleted {
            return None;
        }
        let Some(etag) = etag.filter(|_| status == 200) else {
            return Some(format!("accepted at version {}, and missing ({status})", self.version));
        };
        if etag < self.version {
            return Some(format!("accepted at version {}, and served at {etag}", self.version));
        }
        let mark = mark_of(body);
        let is_known = self.marks.is_empty() || mark.is_some_and(|mark| self.marks.contains(mark));
        (!is_known).then(|| format!("bears {mark:?} instead of one of {:?}", self.marks))
    }
}

/// Where a student bears the mark of its last edit.
pub(crate) const MARKED: &str = "firstName";

/// The mark of a document.
pub(crate) fn mark_of(body: &Value) -> Option<&str> {
    body[MARKED].as_str()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_lost_or_older_or_other_document_is_noticed() {
        let ledger = Ledger::default();
        let uuid = Uuid::nil();
        ledger.written(uuid, String::new(), 7, Some("a"));
        ledger.perhaps_marked(uuid, "b");
        let known = ledger.all().pop().expect("one document").1;
        for mark in ["a", "b"] {
            assert_eq!(known.contradiction(200, Some(7), &json!({MARKED: mark})), None);
        }
        assert!(known.contradiction(404, None, &Value::Null).is_some());
        assert!(known.contradiction(200, Some(6), &json!({MARKED: "a"})).is_some());
        assert!(known.contradiction(200, Some(7), &json!({MARKED: "c"})).is_some());
        ledger.deleted(uuid, false);
        let known = ledger.all().pop().expect("one document").1;
        assert_eq!(known.contradiction(404, None, &Value::Null), None);
        ledger.deleted(uuid, true);
        let known = ledger.all().pop().expect("one document").1;
        assert!(known.contradiction(200, Some(9), &json!({MARKED: "a"})).is_some());
        assert_eq!(known.contradiction(404, None, &Value::Null), None);
    }
}
