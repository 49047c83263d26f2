//! Fingerprints of all tables, including row headers, and stored ReferentialIds.

use super::running::Running;
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// Hash over the row headers, which change with every insert, update and lock. `ctid` is included because an update
/// moves the row.
const TABLE_SQL: &str =
    "coalesce(sum(hashtextextended(ctid::text || ' ' || xmin::text || ' ' || xmax::text, 0)::numeric), 0)::text";

/// Returns the row count and hash of each table. The hash changes with any write or lock of a row.
pub(crate) async fn fingerprints(running: &Running) -> BTreeMap<String, (i64, String)> {
    fingerprints_of(running, TABLE_SQL).await
}

/// The same without locks: a rolled-back transaction may leave its id in `xmax` of a row that it locked.
pub(crate) async fn fingerprints_without_locks(running: &Running) -> BTreeMap<String, (i64, String)> {
    fingerprints_of(running, &TABLE_SQL.replace(" || ' ' || xmax::text", "")).await
}

async fn fingerprints_of(running: &Running, of_row: &str) -> BTreeMap<String, (i64, String)> {
    let client = running.client().await;
    let sql = "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables
               WHERE schemaname NOT IN ('pg_catalog', 'information_schema')";
    let mut fingerprints = BTreeMap::new();
    for row in client.query(sql, &[]).await.expect("tables can be listed") {
        let name: String = row.get(0);
        let row = client.query_one(&format!("SELECT count(*), {of_row} FROM ONLY {name}"), &[]).await;
        let row = row.unwrap_or_else(|error| panic!("{name}: {error:?}"));
        fingerprints.insert(name, (row.get(0), row.get(1)));
    }
    fingerprints
}

/// Returns the stored ReferentialIds of every document.
pub(crate) async fn referential_ids(running: &Running) -> BTreeMap<Uuid, BTreeSet<Uuid>> {
    let sql = r#"SELECT d."DocumentUuid", i."ReferentialId" FROM "dms"."ReferentialIdentity" i
                 JOIN "dms"."Document" d USING ("DocumentId")"#;
    let mut ids: BTreeMap<Uuid, BTreeSet<Uuid>> = BTreeMap::new();
    for row in running.client().await.query(sql, &[]).await.expect("identities can be read") {
        ids.entry(row.get(0)).or_default().insert(row.get(1));
    }
    ids
}
