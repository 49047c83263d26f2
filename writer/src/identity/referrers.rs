//! Documents outside a closure that embed a member: stamped here while they are few, else left to a cascade
//! (docs/design/rules.md#rule-1, docs/design/rules.md#rule-2, docs/design/rules.md#rule-12).

use crate::attempt::AttemptError;
use millstream_pipeline::NewChange;
use millstream_store::table::{cascade_open, document, edge};
use millstream_store::transaction::{Pipeline, WriteTransaction};
use std::collections::BTreeSet;

/// The way in which the referrers of a closure are brought up to date.
#[derive(Debug)]
pub(crate) enum Referrers {
    /// Few: all of them, stamped in this transaction.
    Strict(Vec<i64>),
    /// Many: a cascade row for each of these members.
    Cascade(Vec<i64>),
}

impl Referrers {
    /// Counts up to the bound, and decides. The set is stable: a referrer comes or goes only under a share lock on the
    /// member that it refers to, and this transaction holds those exclusively. It takes no share lock for the referrers
    /// themselves, which would deadlock two renamers (docs/design/schedules.md#counterexamples).
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

    /// The referrers whose rows have to be locked.
    pub(crate) fn to_stamp(&self) -> &[i64] {
        match self {
            Self::Strict(referrers) => referrers,
            Self::Cascade(_) => &[],
        }
    }

    /// Adds the stamps, or the cascade rows with each member's own version.
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
                cascade_open::open(pipeline, ids, versions);
            }
        }
    }
}
