//! The documents that embed a descriptor's URI. Descriptors have no edges (docs/design/rules.md#rule-14), so the compiled
//! descriptor columns are searched.

use crate::connect::GenericClient;
use crate::error::StoreError;
use crate::table::query::read_column;
use millstream_schema::plan::{Mapping, ResourceKeyId};
use std::collections::BTreeSet;

/// Reads up to `limit` DocumentIds above `after` of documents with a column that points to this descriptor, ascending.
/// It reads each table with a column for descriptors of the type `key`.
pub async fn descriptor_referrers<C: GenericClient>(
    client: &C,
    mapping: &Mapping,
    descriptor: i64,
    key: ResourceKeyId,
    after: i64,
    limit: i64,
) -> Result<Vec<i64>, StoreError> {
    let mut columns: BTreeSet<(&str, &str, &str)> = BTreeSet::new();
    for (_, plan) in mapping.iter() {
        for site in plan.descriptors.iter().filter(|site| site.target_key == key) {
            let (Some(table), Some(id)) =
                (plan.tables.get(site.table), plan.tables.get(site.table).and_then(|table| table.key_columns.first()))
            else {
                continue;
            };
            if let Some(column) = table.columns.get(site.column) {
                columns.insert((&table.qualified, id, &column.name));
            }
        }
    }
    if columns.is_empty() {
        return Ok(Vec::new());
    }
    let quoted = |name: &str| name.replace('"', "\"\"");
    let part = |(table, id, column): &(&str, &str, &str)| {
        let (id, column) = (quoted(id), quoted(column));
        format!(r#"SELECT t."{id}" AS "DocumentId" FROM {table} t WHERE t."{column}" = $1 AND t."{id}" > $2"#)
    };
    let parts: Vec<String> = columns.iter().map(part).collect();
    let sql = format!(r#"SELECT DISTINCT r."DocumentId" FROM ({}) r ORDER BY 1 LIMIT $3"#, parts.join(" UNION ALL "));
    // Not kept prepared: it runs once per page of a rare repair.
    read_column(&client.query(sql.as_str(), &[&descriptor, &after, &limit]).await?, "DocumentId")
}
