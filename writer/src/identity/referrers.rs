//! Documents outside a closure that embed a member: stamped here while they are few, else left to a cascade
//! (docs/design/rules.md#rule-1, docs/design/rules.md#rule-2, docs/design/rules.md#rule-12).

use crate::attempt::AttemptError;
use crate::transaction::{Pipeline, Session, params};
use millstream_pipeline::NewChange;
use std::collections::BTreeSet;
use tokio_postgres::Row;

/// Parents of the closure that are not in it, each once, ascending. Of each member no more parents are read than decide
/// the matter, and by the index on children: a join with `LIMIT` invites a walk over all edges in order of parents, which
/// takes seconds where the answer is none.
const FIND: &str = r#"SELECT p.i FROM unnest($1::int8[]) AS c(i) CROSS JOIN LATERAL (SELECT e."ParentDocumentId" AS i FROM "dms"."ReferenceEdge" e WHERE e."ChildDocumentId" = c.i LIMIT cardinality($1::int8[]) + $2::int8) p EXCEPT SELECT x.i FROM unnest($1::int8[]) AS x(i) ORDER BY 1 LIMIT $2::int8"#;
/// Members that have at least one such parent.
const REFERRED_MEMBERS: &str = r#"SELECT c.i FROM unnest($1::int8[]) AS c(i) WHERE EXISTS (SELECT 1 FROM "dms"."ReferenceEdge" e LEFT JOIN unnest($1::int8[]) AS x(i) ON x.i = e."ParentDocumentId" WHERE e."ChildDocumentId" = c.i AND x.i IS NULL)"#;
const STAMP: &str = r#"UPDATE "dms"."Document" AS d SET "ContentVersion" = u.v, "LastModifiedAt" = greatest(d."LastModifiedAt", clock_timestamp()) FROM unnest($1::int8[], $2::int8[]) AS u(i, v) WHERE d."DocumentId" = u.i"#;
/// The time is that of the draw, under the rename lock, so cascades are as old as their versions say: the time that a
/// referrer of two of them is served with does not depend on which one reaches it first.
const OPEN_CASCADE: &str = r#"INSERT INTO "dms"."Cascade" ("DocumentId", "ContentVersion", "TransactionId", "Cursor", "OpenedAt") SELECT u.i, u.v, pg_current_xact_id(), 0, clock_timestamp() FROM unnest($1::int8[], $2::int8[]) AS u(i, v)"#;

/// How the referrers of a closure are brought up to date.
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
        session: &Session,
        closure: &BTreeSet<i64>,
        strict_max: usize,
    ) -> Result<Self, AttemptError> {
        let closure: Vec<i64> = closure.iter().copied().collect();
        let mut pipeline = session.pipeline()?;
        let limit = i64::try_from(strict_max).unwrap_or(i64::MAX).saturating_add(1);
        let place = pipeline.add(FIND, params![closure.clone(), limit]);
        let found = ids(&pipeline.run().await?[place])?;
        if found.len() <= strict_max {
            return Ok(Self::Strict(found));
        }
        let mut pipeline = session.pipeline()?;
        let place = pipeline.add(REFERRED_MEMBERS, params![closure]);
        Ok(Self::Cascade(ids(&pipeline.run().await?[place])?))
    }

    /// Those whose rows have to be locked.
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
                pipeline.add(STAMP, params![ids, versions]);
            }
            Self::Cascade(referred) => {
                let members = members.iter().filter(|change| referred.contains(&change.document_id));
                let cascades = members.map(|change| (change.document_id, change.content_version));
                let (ids, versions): (Vec<i64>, Vec<i64>) = cascades.unzip();
                pipeline.add(OPEN_CASCADE, params![ids, versions]);
            }
        }
    }
}

fn ids(rows: &[Row]) -> Result<Vec<i64>, AttemptError> {
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}
