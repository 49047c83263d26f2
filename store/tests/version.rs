//! The effective version over open cascades, as PostgreSQL computes it.

use millstream_store::{
    error::StoreError,
    provision::DMS_DDL,
    version::{effective_last_modified, effective_version},
};
use millstream_testkit::TestDatabase;

/// Document 1 refers to 2 and 3, at version 10; nothing else refers to anything.
const DOCUMENTS: &str = r#"
INSERT INTO "dms"."ResourceKey" VALUES (1, 'Ed-Fi', 'Thing', '1');
INSERT INTO "dms"."Document"
    SELECT id, gen_random_uuid(), 1, 10, 10, '2026-01-10Z', '2026-01-01Z', '\x' FROM generate_series(1::bigint, 3) id;
INSERT INTO "dms"."ReferenceEdge" VALUES (1, 2, false), (1, 3, true);
"#;

async fn effective(cascades: &str) -> Vec<(i64, String)> {
    let database = TestDatabase::from_template("version", |database| async move {
        let client = database.get().await?;
        client.batch_execute(&format!("{DMS_DDL}{DOCUMENTS}")).await?;
        Ok::<_, StoreError>(())
    })
    .await;
    let session = database.session().await;
    session.batch_execute(cascades).await.unwrap_or_else(|error| panic!("{cascades}: {error:?}"));
    let sql = format!(
        r#"SELECT {}, to_char({} AT TIME ZONE 'UTC', 'DD') FROM "dms"."Document" d ORDER BY d."DocumentId""#,
        effective_version("d"),
        effective_last_modified("d")
    );
    let rows = session.query(&sql, &[]).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

fn expected(versions: [(i64, &str); 3]) -> Vec<(i64, String)> {
    versions.map(|(version, day)| (version, day.to_owned())).into()
}

#[tokio::test]
async fn without_a_cascade_it_is_the_documents_own() {
    assert_eq!(effective("").await, expected([(10, "10"), (10, "10"), (10, "10")]));
}

#[tokio::test]
async fn the_highest_open_cascade_counts_for_its_referrers_only() {
    let cascades = r#"INSERT INTO "dms"."Cascade" VALUES
        (2, 12, '7', 0, '2026-01-12Z'), (2, 15, '8', 0, '2026-01-15Z'), (3, 13, '9', 0, '2026-01-13Z')"#;
    assert_eq!(effective(cascades).await, expected([(15, "15"), (10, "10"), (10, "10")]));
}

#[tokio::test]
async fn a_cascade_that_was_stamped_already_changes_nothing() {
    // Version 9 is below the document's: it wrote its opening time into the row, or an edit came later.
    let cascades =
        r#"INSERT INTO "dms"."Cascade" VALUES (2, 9, '7', 0, '2026-01-31Z'), (3, 10, '8', 0, '2026-01-30Z')"#;
    assert_eq!(effective(cascades).await, expected([(10, "10"), (10, "10"), (10, "10")]));
}
