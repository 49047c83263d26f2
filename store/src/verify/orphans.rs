//! Rows that belong to no document. The foreign keys forbid them, so whoever finds one has a database whose keys were
//! switched off, or that was restored in part; its ranges of documents would never show them.

use super::report::{Difference, DifferenceKind, Report};
use crate::error::StoreError;
use deadpool_postgres::GenericClient;
use millstream_schema::plan::{Mapping, ResourcePlan};
use std::collections::HashSet;
use uuid::Uuid;

/// Documents that do not exist, counted for each statement; a database that has more is beyond counting.
const ORPHANS_MAX: i64 = 1_000;

/// Shared tables with a row for a document, and the column that names it.
const SHARED: [(&str, &str); 5] = [
    (r#""dms"."ReferentialIdentity""#, "DocumentId"),
    (r#""dms"."ReferenceEdge""#, "ParentDocumentId"),
    (r#""dms"."IdentityLock""#, "DocumentId"),
    (r#""dms"."DocumentCache""#, "DocumentId"),
    (r#""dms"."Descriptor""#, "DocumentId"),
];

/// Looks through all tables, those of one type in one statement.
pub(super) async fn check<C: GenericClient>(
    client: &C,
    mapping: &Mapping,
    report: &mut Report,
) -> Result<(), StoreError> {
    check_tables(client, "dms", &SHARED, report).await?;
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
    let of_table = |(table, column): &(&str, &str)| {
        let column = column.replace('"', "\"\"");
        format!(
            r#"SELECT '{}'::text, r."{column}", count(*) FROM {table} r WHERE NOT EXISTS (SELECT 1 FROM "dms"."Document" d WHERE d."DocumentId" = r."{column}") GROUP BY 2"#,
            table.replace('\'', "''")
        )
    };
    let parts: Vec<String> = tables.iter().map(of_table).collect();
    let sql = format!("{} ORDER BY 1, 2 LIMIT {ORPHANS_MAX}", parts.join(" UNION ALL "));
    // Not kept prepared: it runs once.
    for row in client.query(sql.as_str(), &[]).await? {
        let (table, document_id, rows): (String, i64, i64) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        let example = Difference {
            // Nobody has an id.
            uuid: Uuid::nil(),
            resource: resource.to_owned(),
            expected: format!("document {document_id}, or no row of it"),
            found: format!("{rows} row(s) in {table}, and no document"),
        };
        report.add(DifferenceKind::RowOfNoDocument, example);
    }
    Ok(())
}
