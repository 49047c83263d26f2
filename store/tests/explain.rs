//! Plans every statement file in `sql/table` and fails on a sequential scan that is not listed as intended.
//!
//! The plans are generic ones (`plan_cache_mode = force_generic_plan`), as sessions use them after a few executions, on
//! an empty database, on one with generated rows, and on the loaded corpus where it is at hand. A plan made on empty
//! tables matters: a session that starts on a new database keeps it until the tables are analysed.

mod support;

use millstream_schema::plan::Mapping;
use millstream_store::connect::{Client, Database};
use millstream_store::version::expand;
use millstream_testkit::corpus;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use support::{Planter, compile, provisioned, resource};

/// The resource type whose root table stands for all in statements that are made per type.
const ROOT: &str = "School";

/// Relations that any statement may read in sequence, and why.
const SMALL: [(&str, &str); 4] = [
    ("Cascade", "usually empty: a row per rename that is being worked off"),
    ("EffectiveSchema", "one row"),
    ("ProjectionProgress", "a row per consumer"),
    ("ResourceKey", "a row per resource type"),
];

/// The tables on which a plan is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum On {
    Empty,
    Loaded,
    Corpus,
}

/// Statements that read a relation in sequence on purpose, whatever the tables hold: file, relation, reason.
const INTENDED: [(&str, &str, &str); 18] = [
    ("audit_misplaced_rows.sql", "*", "the audit reads whole tables"),
    ("audit_rows_without_document.sql", "*", "the audit reads whole tables"),
    ("history_begin.sql", "*", "a sequence has one row"),
    ("history_raise_version.sql", "ChangeVersionSequence", "a sequence has one row"),
    ("history_read.sql", "*", "a sequence has one row"),
    ("sequence_newest_version.sql", "ChangeVersionSequence", "a sequence has one row"),
    // The total counts all documents of the type. The generic plan assumes a page of a tenth of the table and would
    // scan the cache too; sessions find custom plans for the actual limit cheaper and keep those.
    ("document_body_page.sql", "*", "counts all documents; planned for each limit"),
    ("comparison_page.sql", "DocumentCache", "planned for each limit, as above"),
    ("outbox_before_horizon.sql", "*", "polling creates its index itself: retention::ensure_polling_index"),
    ("outbox_default_partition.sql", "*", "reads the catalog"),
    ("outbox_partition_needed.sql", "*", "maintenance looks for one row of a partition to be dropped"),
    ("outbox_partition_prune.sql", "*", "maintenance deletes the oldest rows of the default partition"),
    ("outbox_partitions.sql", "*", "reads the catalog"),
    ("replay_count_all.sql", "*", "counts all documents and tombstones, once per replay"),
    ("replay_documents.sql", "DocumentCache", "planned for each limit, as above"),
    ("replay_documents_of_type.sql", "DocumentCache", "planned for each limit, as above"),
    ("replay_count_type.sql", "*", "counts the documents and tombstones of a type, once per replay"),
    ("transactions_running.sql", "*", "reads the catalog"),
];

/// Statements whose plan reads a relation in sequence only if it was made on empty tables: file, relation. Such a plan
/// lasts until the first ANALYZE of the table, which autovacuum runs within a minute of the first load. Their indexes
/// win as soon as there are statistics; the resolution and share-lock statements, which every write sends, are not
/// among them.
const UNTIL_ANALYZED: [(&str, &str); 14] = [
    ("cache_explain.sql", "Document"),
    ("cache_explain.sql", "DocumentCache"),
    ("descriptor_by_id.sql", "Descriptor"),
    ("descriptor_columns.sql", "Descriptor"),
    ("descriptor_update.sql", "Descriptor"),
    ("document_rename.sql", "Document"),
    ("document_stamp.sql", "Document"),
    ("edge_children.sql", "IdentityLock"),
    ("edge_referrers.sql", "ReferenceEdge"),
    ("edge_referring_types.sql", "Document"),
    ("edge_rows.sql", "Document"),
    ("identity_values_of_own_type.sql", "Document"),
    // Planned each time it runs, which is for a batch that does not fit into memory.
    ("row_sizes.sql", ROOT),
    ("tombstone_of_living.sql", "Tombstone"),
];

/// Statements that read a relation in sequence because it has few rows in the corpus: file, relation. On many generated
/// rows they use an index.
const FEW_IN_CORPUS: [(&str, &str); 1] = [("row_sizes.sql", ROOT)];

/// Whether a scan is intended.
fn is_intended(on: On, file: &str, relation: &str) -> bool {
    let listed = INTENDED.iter().any(|(name, of, _)| *name == file && (*of == "*" || *of == relation));
    let small = SMALL.iter().any(|(small, _)| *small == relation);
    let of_tables = match on {
        On::Empty => UNTIL_ANALYZED.contains(&(file, relation)),
        On::Loaded => false,
        On::Corpus => FEW_IN_CORPUS.contains(&(file, relation)),
    };
    listed || small || of_tables
}

/// A sequential scan in the plan of a statement.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Scan {
    file: String,
    relation: String,
}

/// The statement files, by name.
fn statements() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("sql/table");
    let mut statements = Vec::new();
    for entry in folder.read_dir().expect("the folder of statements") {
        let path = entry.expect("an entry").path();
        if path.extension().is_some_and(|extension| extension == "sql") {
            let name = path.file_name().and_then(|name| name.to_str()).expect("a name").to_owned();
            statements.push((name, std::fs::read_to_string(&path).expect("a statement")));
        }
    }
    statements.sort();
    statements
}

/// Fills in the `{…}` of a statement as its owner does.
fn complete(name: &str, sql: &str, root: &str) -> String {
    let sql = expand(sql)
        .replace("{root}", root)
        .replace("{paged}", r#" WHERE r."DocumentId" > $1::int8"#)
        .replace("{total}", &format!("(SELECT count(*) FROM {root} r)"))
        .replace("{resource_key}", "7::int2")
        .replace("{limit}", "1000")
        .replace("{table_literal}", "table")
        .replace("{table}", root)
        .replace("{column}", "DocumentId")
        .replace("{text_bytes}", "0::int8")
        .replace("{partition}", "Outbox_0");
    let open = sql.find('{').map(|at| &sql[at..]);
    assert_eq!(open, None, "{name}: fill in this fragment here");
    sql
}

/// Rows that follow from the documents, and as many of deleted ones.
const DERIVED_ROWS: &str = r#"SET session_replication_role = replica;
INSERT INTO "dms"."DocumentCache" SELECT "DocumentId", "DocumentUuid", "ResourceKeyId", "ContentVersion", now(), '{}', '\x00', now() FROM "dms"."Document";
INSERT INTO "dms"."Tombstone" SELECT gen_random_uuid(), "DocumentId" + 1000000000, "ResourceKeyId", "ContentVersion", ARRAY['v'], now() FROM "dms"."Document";
INSERT INTO "dms"."Outbox" ("DocumentId", "DocumentUuid", "ResourceKeyId", "Kind", "ContentVersion") SELECT "DocumentId", "DocumentUuid", "ResourceKeyId", 'upsert', "ContentVersion" FROM "dms"."Document";
INSERT INTO "dms"."Cascade" SELECT i, i, pg_current_xact_id(), 0, now() FROM generate_series(1, 3) i;
SET session_replication_role = origin"#;

/// The sequential scans of the generic plans of all statements, except intended ones.
async fn scans(client: &Client, mapping: &Mapping, on: On) -> BTreeSet<Scan> {
    let root = &mapping.resource(resource(mapping, ROOT)).tables[0].qualified;
    client.batch_execute("SET plan_cache_mode = force_generic_plan").await.expect("set");
    // The table of a proof belongs to a session and is filled before it gets its index.
    client.batch_execute(include_str!("../sql/table/ddl/proof_create.sql")).await.expect("a temporary table");
    let fill =
        r#"INSERT INTO pg_temp."Held" SELECT i, gen_random_uuid(), i, 7, '\x00' FROM generate_series(1, 50000) i"#;
    client.batch_execute(fill).await.expect("rows");
    client.batch_execute(include_str!("../sql/table/ddl/proof_index.sql")).await.expect("an index");
    let mut scans = BTreeSet::new();
    for (file, sql) in statements() {
        let sql = complete(&file, &sql, root);
        let parameters = client.prepare(&sql).await.unwrap_or_else(|error| panic!("{file}: {error:?}")).params().len();
        client.batch_execute(&format!("PREPARE explained AS {sql}")).await.expect("prepared");
        // A generic plan does not depend on the values.
        let values = if parameters == 0 { String::new() } else { format!("({})", vec!["NULL"; parameters].join(", ")) };
        let row = client.query_one(&format!("EXPLAIN (FORMAT JSON) EXECUTE explained{values}"), &[]).await;
        let plan: Value = row.unwrap_or_else(|error| panic!("{file}: {error:?}")).get("QUERY PLAN");
        client.batch_execute("DEALLOCATE explained").await.expect("deallocated");
        collect(on, &file, &plan, &mut scans);
    }
    scans
}

/// Walks a plan.
fn collect(on: On, file: &str, node: &Value, scans: &mut BTreeSet<Scan>) {
    match node {
        Value::Array(nodes) => nodes.iter().for_each(|node| collect(on, file, node, scans)),
        Value::Object(members) => {
            if let (Some("Seq Scan"), Some(relation)) = (node["Node Type"].as_str(), node["Relation Name"].as_str())
                && !is_intended(on, file, relation)
            {
                scans.insert(Scan { file: file.to_owned(), relation: relation.to_owned() });
            }
            members.values().for_each(|member| collect(on, file, member, scans));
        }
        _ => {}
    }
}

/// Rows enough for an index to pay, in every shared table, with statistics.
async fn generate(database: &Database, mapping: &Mapping) {
    let plan = mapping.resource(resource(mapping, ROOT));
    let (key, table) = (plan.key, &plan.tables[0].qualified);
    let client = database.get().await.expect("connected");
    for column in &plan.tables[0].columns {
        let sql = format!(r#"ALTER TABLE {table} ALTER COLUMN "{}" DROP NOT NULL"#, column.name);
        client.batch_execute(&sql).await.expect("nullable: rows are generated from their key alone");
    }
    let sql = format!(
        r#"SET session_replication_role = replica;
INSERT INTO "dms"."Document" SELECT i, gen_random_uuid(), {key}, i, i, now(), now(), '\x00' FROM generate_series(1, 50000) i;
INSERT INTO {table} ("DocumentId") SELECT i FROM generate_series(1, 50000) i;
INSERT INTO "dms"."ReferentialIdentity" SELECT gen_random_uuid(), i, {key}, ARRAY['v'] FROM generate_series(1, 50000) i;
INSERT INTO "dms"."IdentityLock" SELECT i FROM generate_series(1, 50000) i;
INSERT INTO "dms"."ReferenceEdge" SELECT i, i % 1000 + 1, i % 7 = 0 FROM generate_series(1, 50000) i;
INSERT INTO "dms"."Descriptor" SELECT i, 'n', 'c' || i, 's', NULL, NULL, NULL, 'n#c' || i, 'n#c' || i, {key} FROM generate_series(1, 50000) i;
SET session_replication_role = origin"#
    );
    client.batch_execute(&sql).await.expect("rows");
    client.batch_execute(DERIVED_ROWS).await.expect("rows");
    client.batch_execute("ANALYZE").await.expect("analysed");
}

#[tokio::test]
async fn no_statement_reads_a_large_table_in_sequence() {
    let compiled = compile(&corpus::fixtures().schema_paths());
    let test = provisioned("explain", &compiled).await;
    let client = test.database().get().await.expect("connected");
    assert_eq!(scans(&client, &compiled.mapping, On::Empty).await, BTreeSet::new(), "on empty tables");
    generate(test.database(), &compiled.mapping).await;
    client.batch_execute("DISCARD ALL").await.expect("discarded");
    assert_eq!(scans(&client, &compiled.mapping, On::Loaded).await, BTreeSet::new(), "on generated rows");
}

#[tokio::test]
async fn no_statement_reads_a_large_table_of_the_corpus_in_sequence() {
    let Some(corpus) = corpus::find_or_skip() else { return };
    let compiled = compile(&corpus.schema_paths());
    let test = provisioned("explain-corpus", &compiled).await;
    let client = test.database().get().await.expect("connected");
    assert_eq!(scans(&client, &compiled.mapping, On::Empty).await, BTreeSet::new(), "on empty tables");
    let mut planter = Planter::new(Arc::clone(&compiled.mapping));
    for (at, document) in corpus.documents().expect("the corpus is readable").enumerate() {
        let document = document.expect("a document");
        let resource = compiled.mapping.route(&document.project, &document.resource).expect("a known endpoint");
        planter.plant(resource, serde_json::from_slice(document.body()).expect("JSON"));
        if at % 2_000 == 1_999 {
            planter.flush(test.database()).await;
        }
    }
    planter.flush(test.database()).await;
    client.batch_execute(DERIVED_ROWS).await.expect("rows");
    client.batch_execute("DISCARD ALL").await.expect("discarded");
    client.batch_execute("ANALYZE").await.expect("analysed");
    assert_eq!(scans(&client, &compiled.mapping, On::Corpus).await, BTreeSet::new(), "on the loaded corpus");
}

/// Sums the rows that a plan has read of a relation.
fn rows_read(node: &Value, relation: &str) -> f64 {
    match node {
        Value::Array(nodes) => nodes.iter().map(|node| rows_read(node, relation)).sum(),
        Value::Object(members) => {
            let rows = node["Actual Rows"].as_f64().unwrap_or_default() * node["Actual Loops"].as_f64().unwrap_or(1.0);
            let own = if node["Relation Name"] == relation { rows } else { 0.0 };
            own + members.values().map(|member| rows_read(member, relation)).sum::<f64>()
        }
        _ => 0.0,
    }
}

/// A refused delete names the types that refer to a document, which may be a hub.
#[tokio::test]
async fn the_types_that_refer_to_a_hub_are_found_without_reading_all_its_referrers() {
    const REFERRERS: u32 = 40_000;
    let compiled = compile(&corpus::fixtures().schema_paths());
    let test = provisioned("explain-hub", &compiled).await;
    generate(test.database(), &compiled.mapping).await;
    let client = test.database().get().await.expect("connected");
    let hub = format!(
        r#"SET session_replication_role = replica;
INSERT INTO "dms"."ReferenceEdge" SELECT i, 60000, false FROM generate_series(1, {REFERRERS}) i;
SET session_replication_role = origin; ANALYZE "dms"."ReferenceEdge""#
    );
    client.batch_execute(&hub).await.expect("a hub");
    let sql = include_str!("../sql/table/edge_referring_types.sql").replace("$1", "60000");
    let row = client.query_one(&format!("EXPLAIN (ANALYZE, FORMAT JSON) {sql}"), &[]).await.expect("a plan");
    let read = rows_read(&row.get("QUERY PLAN"), "ReferenceEdge");
    assert!((1.0..=10_000.0).contains(&read), "{read} edges of {REFERRERS}");
    let types = millstream_store::table::edge::referring_types(&client, 60_000).await.expect("types");
    assert_eq!(types, [ROOT]);
}
