//! Is every document where it must be, and nowhere else?

use super::range::{Range, type_name};
use super::report::{Difference, DifferenceKind, Report};
use crate::error::StoreError;
use crate::load::{TableRows, query_cached};
use deadpool_postgres::GenericClient;
use millstream_schema::plan::{DESCRIPTOR_COLUMNS, Mapping};
use millstream_schema::referential::lower_uri;
use std::collections::HashSet;
use uuid::Uuid;

const LOCKS_SQL: &str = r#"SELECT l."DocumentId" FROM "dms"."IdentityLock" l WHERE l."DocumentId" = ANY($1::int8[])"#;

const TOMBSTONES_SQL: &str = r#"SELECT d."DocumentId"
  FROM "dms"."Tombstone" t
  JOIN "dms"."Document" d ON d."DocumentUuid" = t."DocumentUuid"
 WHERE d."DocumentId" = ANY($1::int8[])"#;

/// Misplaced rows counted for each type; a database that has more is beyond counting.
const MISPLACED_MAX: i64 = 1_000;

/// Known type, root row, lock row, no tombstone, and descriptors whose columns fit together.
pub(super) async fn check<C: GenericClient>(
    client: &C,
    range: &Range<'_>,
    report: &mut Report,
) -> Result<(), StoreError> {
    check_types(range, report);
    check_roots(range, report);
    let locks: HashSet<i64> = ids(client, LOCKS_SQL, &range.ids).await?;
    for (head, plan) in range.known() {
        if plan.changeable && !locks.contains(&head.document_id) {
            let expected = "a row in dms.IdentityLock".to_owned();
            range.differs(report, DifferenceKind::IdentityLockMissing, head.document_id, expected, "none".to_owned());
        }
    }
    for id in ids(client, TOMBSTONES_SQL, &range.ids).await? {
        let found = "a row in dms.Tombstone".to_owned();
        range.differs(report, DifferenceKind::TombstoneOfLiving, id, "none, the document lives".to_owned(), found);
    }
    Ok(())
}

async fn ids<C: GenericClient>(client: &C, sql: &str, of: &[i64]) -> Result<HashSet<i64>, StoreError> {
    query_cached(client, sql, &[&of]).await?.iter().map(|row| Ok(row.try_get(0)?)).collect()
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

/// What the writer fills in must follow from what the client wrote.
fn check_descriptor_columns(range: &Range<'_>, report: &mut Report, table: &TableRows, key: i16) {
    let column = |name: &str| DESCRIPTOR_COLUMNS.iter().position(|column| *column == name);
    for at in 0..table.len() {
        let text =
            |name: &str| column(name).and_then(|at_column| std::str::from_utf8(table.value(at, at_column)?).ok());
        let uri = format!("{}#{}", text("Namespace").unwrap_or_default(), text("CodeValue").unwrap_or_default());
        let stored_key = column("ResourceKeyId").and_then(|at_column| {
            let raw = table.value(at, at_column)?;
            Some(raw.iter().fold(0_i64, |number, byte| number << 8 | i64::from(*byte)))
        });
        let expected = format!("{uri}, {}, type {key}", lower_uri(&uri));
        let found = format!(
            "{}, {}, type {}",
            text("Uri").unwrap_or("NULL"),
            text("UriLower").unwrap_or("NULL"),
            stored_key.unwrap_or_default()
        );
        if let Some(id) = table.document_id(at).filter(|_| expected != found) {
            range.differs(report, DifferenceKind::DescriptorColumns, id, expected, found);
        }
    }
}

/// Rows in the root table of a type that is not their document's. One statement a table, over the whole table.
pub(super) async fn check_misplaced_rows<C: GenericClient>(
    client: &C,
    mapping: &Mapping,
    report: &mut Report,
) -> Result<(), StoreError> {
    let mut descriptors_done = false;
    for (_, plan) in mapping.iter() {
        let Some(table) = plan.tables.first() else { continue };
        let expected_key =
            if plan.is_descriptor { r#"r."ResourceKeyId""#.to_owned() } else { format!("{}::int2", plan.key) };
        if plan.is_descriptor && std::mem::replace(&mut descriptors_done, true) {
            continue;
        }
        let sql = format!(
            r#"SELECT d."DocumentUuid", d."ResourceKeyId"
  FROM {} r JOIN "dms"."Document" d ON d."DocumentId" = r."DocumentId"
 WHERE d."ResourceKeyId" <> {expected_key} ORDER BY d."DocumentId" LIMIT {MISPLACED_MAX}"#,
            table.qualified
        );
        // Not kept prepared: it runs once.
        for row in client.query(sql.as_str(), &[]).await? {
            let (uuid, key): (Uuid, i16) = (row.try_get(0)?, row.try_get(1)?);
            let resource = type_name(mapping, key);
            let expected = format!("no row in {}", table.qualified);
            let example = Difference { uuid, resource, expected, found: "a row".to_owned() };
            report.add(DifferenceKind::RootRowMisplaced, example);
        }
    }
    Ok(())
}
