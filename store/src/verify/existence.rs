//! Rows that every document must have, and rows that it must not have.

use super::range::{Range, type_name};
use super::report::{Difference, DifferenceKind, Report};
use crate::connect::GenericClient;
use crate::error::StoreError;
use crate::load::TableRows;
use crate::table::audit::misplaced_rows;
use crate::table::{identity_lock, tombstone};
use millstream_schema::plan::{DescriptorColumn, Mapping};
use millstream_schema::referential::lower_uri;
use std::collections::HashSet;

/// Maximum number of misplaced rows counted per type.
const MISPLACED_MAX: i64 = 1_000;

/// Checks that each document has a known type, a root row, a lock row if its type needs one, and no tombstone, and that
/// the columns of descriptors are consistent.
pub(super) async fn check<C: GenericClient>(
    client: &C,
    range: &Range<'_>,
    report: &mut Report,
) -> Result<(), StoreError> {
    check_types(range, report);
    check_roots(range, report);
    let locks = identity_lock::existing(client, &range.ids).await?;
    for (head, plan) in range.known() {
        if plan.changeable && !locks.contains(&head.document_id) {
            let expected = "a row in dms.IdentityLock".to_owned();
            range.differs(report, DifferenceKind::IdentityLockMissing, head.document_id, expected, "none".to_owned());
        }
    }
    for id in tombstone::of_living(client, &range.ids).await? {
        let found = "a row in dms.Tombstone".to_owned();
        range.differs(report, DifferenceKind::TombstoneOfLiving, id, "none, the document lives".to_owned(), found);
    }
    Ok(())
}

fn check_types(range: &Range<'_>, report: &mut Report) {
    for (id, head) in &range.heads {
        if range.mapping.by_key(head.key).is_none() {
            let expected = "a concrete resource type of this schema".to_owned();
            range.differs(report, DifferenceKind::UnknownType, *id, expected, format!("type {}", head.key));
        }
    }
}

fn check_roots(range: &Range<'_>, report: &mut Report) {
    for (ix, rows) in &range.batch.types {
        let plan = range.mapping.resource(*ix);
        let (Some(table), Some(table_plan)) = (rows.tables.first(), plan.tables.first()) else { continue };
        let present: HashSet<i64> = (0..table.len()).filter_map(|at| table.document_id(at)).collect();
        for id in rows.ids.iter().filter(|id| !present.contains(id)) {
            let expected = format!("a row in {}", table_plan.qualified);
            range.differs(report, DifferenceKind::RootRowMissing, *id, expected, "none".to_owned());
        }
        if plan.is_descriptor {
            check_descriptor_columns(range, report, table, plan.key);
        }
    }
}

/// Checks that the columns which the writer fills in follow from those which the client wrote.
fn check_descriptor_columns(range: &Range<'_>, report: &mut Report, table: &TableRows, key: i16) {
    use DescriptorColumn::{CodeValue, Namespace, ResourceKeyId, Uri, UriLower};
    for at in 0..table.len() {
        let value = |column: DescriptorColumn| table.value(at, column.index());
        let text = |column: DescriptorColumn| value(column).and_then(|raw| std::str::from_utf8(raw).ok());
        let uri = format!("{}#{}", text(Namespace).unwrap_or_default(), text(CodeValue).unwrap_or_default());
        let stored_key =
            value(ResourceKeyId).map(|raw| raw.iter().fold(0_i64, |number, byte| number << 8 | i64::from(*byte)));
        let expected = format!("{uri}, {}, type {key}", lower_uri(&uri));
        let found = format!(
            "{}, {}, type {}",
            text(Uri).unwrap_or("NULL"),
            text(UriLower).unwrap_or("NULL"),
            stored_key.unwrap_or_default()
        );
        if let Some(id) = table.document_id(at).filter(|_| expected != found) {
            range.differs(report, DifferenceKind::DescriptorColumns, id, expected, found);
        }
    }
}

/// Looks for rows in the root table of another type than their document's: one statement per table, over the whole
/// table.
pub(super) async fn check_misplaced_rows<C: GenericClient>(
    client: &C,
    mapping: &Mapping,
    report: &mut Report,
) -> Result<(), StoreError> {
    let mut descriptors_done = false;
    for (_, plan) in mapping.iter() {
        let Some(table) = plan.tables.first() else { continue };
        // All descriptor types share one table.
        if plan.is_descriptor && std::mem::replace(&mut descriptors_done, true) {
            continue;
        }
        for row in misplaced_rows(client, plan, MISPLACED_MAX).await? {
            let resource = type_name(mapping, row.key);
            let expected = format!("no row in {}", table.qualified);
            let example = Difference { uuid: row.uuid, resource, expected, found: "a row".to_owned() };
            report.add(DifferenceKind::RootRowMisplaced, example);
        }
    }
    Ok(())
}
