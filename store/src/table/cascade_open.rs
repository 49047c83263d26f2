//! `dms.Cascade`, the writer's part: opening a cascade. The projector's part works cascades off.

use super::query::sql;
use crate::transaction::pipeline::{Pipeline, params};

/// The time is that of the draw, under the rename lock, so cascades are as old as their versions say: the time that a
/// referrer of two of them is served with does not depend on which one reaches it first.
const OPEN: &str = sql!("cascade_open.sql");

/// Adds a cascade for each of these renamed documents; `versions` goes with `document_ids`.
pub fn open(pipeline: &mut Pipeline<'_>, document_ids: Vec<i64>, versions: Vec<i64>) {
    pipeline.execute(OPEN, params![document_ids, versions]);
}
