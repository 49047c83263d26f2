//! The referrers of a closure: documents outside it that embed the identity of a member. A rename stamps up to
//! `strict_max` of them in its own transaction; if there are more, it leaves all of them to a cascade
//! (docs/design/rules.md#rule-1, docs/design/rules.md#rule-2, docs/design/rules.md#rule-12).

use crate::attempt::AttemptError;
use millstream_pipeline::NewChange;
use millstream_store::table::{cascade, document, edge};
use millstream_store::transaction::{Pipeline, WriteTransaction};
use std::collections::BTreeSet;

/// The way in which the referrers of a closure are brought up to date.
#[derive(Debug)]
pub(crate) enum Referrers {
    /// All referrers; the rename's transaction stamps them.
    Strict(Vec<i64>),
    /// The closure members that have referrers; the rename's transaction opens a cascade for each of them.
    Cascade(Vec<i64>),
}

impl Referrers {
    /// Reads the referrers, and selects a cascade if there are more than `strict_max`. The set is stable: adding or
    /// removing a referrer requires a share lock on the member that it refers to, and this transaction has locked the
    /// members exclusively. It takes no share locks on behalf of the referrers, because two renamers would deadlock
    /// (docs/design/schedules.md#counterexamples).
    pub(crate) async fn find(
        transaction: &WriteTransaction,
        closure: &BTreeSet<i64>,
        strict_max: usize,
    ) -> Result<Self, AttemptError> {
        let closure: Vec<i64> = closure.iter().copied().collect();
        let mut pipeline = transaction.pipeline()?;
        let limit = i64::try_from(strict_max).unwrap_or(i64::MAX).saturating_add(1);
        let referrers = edge::referrers(&mut pipeline, closure.clone(), limit);
        let found = pipeline.run().await?.rows(referrers)?;
        if found.len() <= strict_max {
            return Ok(Self::Strict(found.into_iter().map(|row| row.parent).collect()));
        }
        let mut pipeline = transaction.pipeline()?;
        let referred = edge::referred_members(&mut pipeline, closure);
        let referred = pipeline.run().await?.rows(referred)?;
        Ok(Self::Cascade(referred.into_iter().map(|row| row.child).collect()))
    }

    /// Returns the referrers to stamp, whose rows must be locked.
    pub(crate) fn to_stamp(&self) -> &[i64] {
        match self {
            Self::Strict(referrers) => referrers,
            Self::Cascade(_) => &[],
        }
    }

    /// Adds the statement that stamps the referrers, or that opens the cascades with each member's own version.
    pub(crate) fn add(&self, pipeline: &mut Pipeline<'_>, stamps: &[NewChange], members: &[NewChange]) {
        match self {
            Self::Strict(_) if stamps.is_empty() => {}
            Self::Strict(_) => {
                let stamps = stamps.iter().map(|change| (change.document_id, change.content_version));
                let (ids, versions): (Vec<i64>, Vec<i64>) = stamps.unzip();
                document::stamp(pipeline, ids, versions);
            }
            Self::Cascade(referred) => {
                let members = members.iter().filter(|change| referred.contains(&change.document_id));
                let cascades = members.map(|change| (change.document_id, change.content_version));
                let (ids, versions): (Vec<i64>, Vec<i64>) = cascades.unzip();
                cascade::open(pipeline, ids, versions);
            }
        }
    }
}
