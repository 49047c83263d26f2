//! The tables as they are, down to the headers of their rows.

use super::running::Running;
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// What a row's header tells of everybody who inserted, changed or locked it. Where a row is (`ctid`) belongs to it: an
/// update moves it.
const TABLE_SQL: &str =
    "coalesce(sum(hashtextextended(ctid::text || ' ' || xmin::text || ' ' || xmax::text, 0)::numeric), 0)::text";

/// A fingerprint of each table: its name, and what changes with any write or lock of any row.
pub(crate) async fn fingerprints(running: &Running) -> BTreeMap<String, (i64, String)> {
    fingerprints_of(running, TABLE_SQL).await
}

/// The same, but for locks: a transaction that was rolled back may have left its mark on a row that it locked.
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

/// The stored ReferentialIds of every document.
pub(crate) async fn referential_ids(running: &Running) -> BTreeMap<Uuid, BTreeSet<Uuid>> {
    let sql = r#"SELECT d."DocumentUuid", i."ReferentialId" FROM "dms"."ReferentialIdentity" i
                 JOIN "dms"."Document" d USING ("DocumentId")"#;
    let mut ids: BTreeMap<Uuid, BTreeSet<Uuid>> = BTreeMap::new();
    for row in running.client().await.query(sql, &[]).await.expect("identities can be read") {
        ids.entry(row.get(0)).or_default().insert(row.get(1));
    }
    ids
}
