//! The fate of each document of a batch.

use crate::error::WriteError;
use crate::request::Written;
use uuid::Uuid;

/// The fate of one document of a batch.
#[derive(Debug)]
pub(super) enum Verdict {
    /// Its caller is to be answered.
    Answer(Result<Written, WriteError>),
    /// Its caller has its answer: phase 1 decided.
    Answered,
    /// It is written by a transaction of its own.
    Single {
        /// A short, fixed reason.
        reason: &'static str,
        /// The identity that a rename takes away.
        formerly: Option<Uuid>,
    },
    /// It is about the same document as an earlier one of the batch, and goes into the next batch.
    Later,
    /// The transaction was rolled back because of others of the batch: it is written again, without them.
    Again,
}

impl Verdict {
    /// The single path, for a document that keeps its identity.
    pub(super) const fn single(reason: &'static str) -> Self {
        Self::Single { reason, formerly: None }
    }
}

/// The verdicts of a batch, by position; the first one given to a position stays.
#[derive(Debug)]
pub(super) struct Verdicts(Vec<Option<Verdict>>);

impl Verdicts {
    pub(super) fn new(entries: usize) -> Self {
        Self((0..entries).map(|_| None).collect())
    }

    pub(super) fn set(&mut self, at: usize, verdict: Verdict) {
        self.0[at].get_or_insert(verdict);
    }

    pub(super) fn refuse(&mut self, at: usize, error: WriteError) {
        self.set(at, Verdict::Answer(Err(error)));
    }

    /// Takes the answers given so far.
    pub(super) fn take_answers(&mut self) -> Vec<(usize, Result<Written, WriteError>)> {
        let mut taken = Vec::new();
        for (at, slot) in self.0.iter_mut().enumerate() {
            match slot.take() {
                Some(Verdict::Answer(answer)) => {
                    taken.push((at, answer));
                    *slot = Some(Verdict::Answered);
                }
                other => *slot = other,
            }
        }
        taken
    }

    /// One verdict for each position; those without one are written again.
    pub(super) fn finish(self) -> Vec<Verdict> {
        self.0.into_iter().map(|verdict| verdict.unwrap_or(Verdict::Again)).collect()
    }
}
