//! Rows that belong to no document. The foreign keys forbid them, so they show that keys were switched off, or that the
//! database was restored in part. The ranges of documents never include them.

use super::report::{Difference, DifferenceKind, Report};
use crate::connect::GenericClient;
use crate::error::StoreError;
use crate::table::audit::{SHARED_TABLES, rows_without_document};
use millstream_schema::plan::{Mapping, ResourcePlan};
use std::collections::HashSet;
use uuid::Uuid;

/// Maximum number of missing documents counted per statement.
const ORPHANS_MAX: i64 = 1_000;

/// Looks through all tables, those of one type in one statement.
pub(super) async fn check<C: GenericClient>(
    client: &C,
    mapping: &Mapping,
    report: &mut Report,
) -> Result<(), StoreError> {
    check_tables(client, "dms", &SHARED_TABLES, report).await?;
    for (_, plan) in mapping.iter().filter(|(_, plan)| !plan.is_descriptor) {
        check_tables(client, &name_of(plan), &tables_of(plan), report).await?;
    }
    Ok(())
}

fn name_of(plan: &ResourcePlan) -> String {
    format!("{}/{}", plan.project_endpoint, plan.resource_name)
}

/// The tables of a type, each with the column that names the document.
fn tables_of(plan: &ResourcePlan) -> Vec<(&str, &str)> {
    let mut seen = HashSet::new();
    let tables = plan.tables.iter().filter(|table| seen.insert(table.qualified.as_str()));
    tables.filter_map(|table| Some((table.qualified.as_str(), table.key_columns.first()?.as_str()))).collect()
}

async fn check_tables<C: GenericClient>(
    client: &C,
    resource: &str,
    tables: &[(&str, &str)],
    report: &mut Report,
) -> Result<(), StoreError> {
    for group in rows_without_document(client, tables, ORPHANS_MAX).await? {
        let example = Difference {
            // The document does not exist, so it has no public id.
            uuid: Uuid::nil(),
            resource: resource.to_owned(),
            expected: format!("document {}, or no row of it", group.document_id),
            found: format!("{} row(s) in {}, and no document", group.rows, group.table),
        };
        report.add(DifferenceKind::RowOfNoDocument, example);
    }
    Ok(())
}
