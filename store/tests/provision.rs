//! Building a database for a schema: once, whole, by one at a time, and for no other schema afterwards.

#![allow(clippy::print_stdout, reason = "numbers for the reader of a test run")]

use std::sync::Arc;

use millstream_schema::{
    apischema::{self, EffectiveSchema},
    ddl, model,
};
use millstream_store::{
    connect::Database,
    provision::{self, Applied, ProvisionError, SchemaState},
};
use millstream_testkit::{TestCluster, TestDatabase, corpus};

struct Built {
    schema: EffectiveSchema,
    ddl: String,
}

fn built(corpus: &corpus::Corpus) -> Built {
    let schema = apischema::load(&corpus.schema_paths()).unwrap_or_else(|errors| panic!("{errors}"));
    let model = model::derive(&schema).unwrap_or_else(|errors| panic!("{errors}"));
    Built { schema, ddl: ddl::postgres(&model) }
}

fn fixtures() -> Built {
    built(&corpus::fixtures())
}

async fn apply(database: &TestDatabase, built: &Built) -> Result<Applied, ProvisionError> {
    provision::apply(database.database(), &built.schema, &built.ddl).await
}

async fn check(database: &TestDatabase, schema: &EffectiveSchema) -> SchemaState {
    provision::check(database.database(), schema).await.expect("the database answers")
}

async fn number(database: &TestDatabase, sql: &str) -> i64 {
    let row = database.session().await.query_one(sql, &[]).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    row.get(0)
}

async fn execute(database: &TestDatabase, sql: &str) {
    database.session().await.batch_execute(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
}

fn refusal(result: Result<Applied, ProvisionError>) -> ProvisionError {
    match result {
        Ok(applied) => panic!("it was {applied:?}"),
        Err(error) => error,
    }
}

#[tokio::test]
async fn a_database_is_built_once() {
    let database = TestDatabase::create().await;
    let built = fixtures();
    assert_eq!(check(&database, &built.schema).await, SchemaState::Empty);
    assert_eq!(apply(&database, &built).await.expect("applies"), Applied::Created);
    assert_eq!(check(&database, &built.schema).await, SchemaState::Current);
    let first = provision::fingerprint(database.database()).await.expect("reads").expect("is there");
    assert_eq!(apply(&database, &built).await.expect("applies"), Applied::AlreadyCurrent);
    let second = provision::fingerprint(database.database()).await.expect("reads").expect("is there");
    assert_eq!(first, second);
    assert_eq!(first.effective_schema_hash, built.schema.hash);
    let components = number(&database, r#"SELECT count(*) FROM "dms"."SchemaComponent""#).await;
    assert_eq!(components, built.schema.projects.len() as i64);
}

#[tokio::test]
async fn the_outbox_is_published_and_bodies_are_compressed() {
    let database = TestDatabase::create().await;
    apply(&database, &fixtures()).await.expect("applies");
    let published = number(
        &database,
        "SELECT count(*) FROM pg_publication p JOIN pg_publication_tables t USING (pubname)
         WHERE p.pubname = 'millstream_outbox' AND t.tablename = 'Outbox' AND p.pubinsert AND p.pubviaroot
           AND NOT p.pubupdate AND NOT p.pubdelete AND NOT p.pubtruncate",
    )
    .await;
    assert_eq!(published, 1);
    let facts = provision::server_facts(database.database()).await.expect("answers");
    let compressed = number(
        &database,
        r#"SELECT count(*) FROM pg_attribute WHERE attrelid = '"dms"."DocumentCache"'::regclass
           AND attname = 'Body' AND attcompression = 'l'"#,
    )
    .await;
    assert_eq!(compressed == 1, facts.has_lz4);
    assert_eq!(facts.wal_level, "logical");
    assert!(facts.may_create && facts.may_replicate);
}

#[tokio::test]
async fn another_schema_is_refused_by_both_hashes_and_changes_nothing() {
    let database = TestDatabase::create().await;
    let mut built = fixtures();
    apply(&database, &built).await.expect("applies");
    let relations = "SELECT count(*) FROM pg_class";
    let before = number(&database, relations).await;
    let first = built.schema.hash.clone();
    built.schema.hash = "0".repeat(64);
    built.ddl.push_str("CREATE TABLE public.never (x int);\n");
    let error = refusal(apply(&database, &built).await);
    let message = error.to_string();
    assert!(message.contains(&first) && message.contains(&built.schema.hash), "{message}");
    assert_eq!(number(&database, relations).await, before);
    assert_eq!(check(&database, &built.schema).await, SchemaState::Other { found: first });
}

#[tokio::test]
async fn resource_keys_that_differ_are_damage() {
    let built = fixtures();
    for damage in [
        r#"UPDATE "dms"."ResourceKey" SET "ResourceName" = 'Impostor' WHERE "ResourceKeyId" = 3"#,
        r#"DELETE FROM "dms"."ResourceKey" WHERE "ResourceKeyId" = 2"#,
        r#"UPDATE "dms"."EffectiveSchema" SET "ResourceKeySeedHash" = '\x00'"#,
        r#"DELETE FROM "dms"."EffectiveSchema""#,
    ] {
        let database = TestDatabase::create().await;
        apply(&database, &built).await.expect("applies");
        execute(&database, damage).await;
        assert!(matches!(check(&database, &built.schema).await, SchemaState::Damaged { .. }), "{damage}");
        assert!(matches!(refusal(apply(&database, &built).await), ProvisionError::Damaged { .. }), "{damage}");
    }
}

/// The columns of `dms.ProjectionProgress`, in any order.
const COLUMNS_SQL: &str = r#"SELECT string_agg(format('%s %s %s %s', column_name, data_type, is_nullable, column_default),
                                    ', ' ORDER BY column_name)
                             FROM information_schema.columns WHERE table_name = 'ProjectionProgress'"#;

async fn text(database: &TestDatabase, sql: &str) -> String {
    database.session().await.query_one(sql, &[]).await.unwrap_or_else(|error| panic!("{sql}: {error:?}")).get(0)
}

#[tokio::test]
async fn a_database_of_an_earlier_version_gets_what_it_lacks_and_keeps_what_it_has() {
    let database = TestDatabase::create().await;
    let built = fixtures();
    apply(&database, &built).await.expect("applies");
    let new = text(&database, COLUMNS_SQL).await;
    execute(
        &database,
        r#"ALTER TABLE "dms"."ProjectionProgress" DROP COLUMN "Stream", DROP COLUMN "Term", DROP COLUMN "History";
           ALTER TABLE "dms"."EffectiveSchema" DROP COLUMN "History";
           DROP INDEX "dms"."IX_Tombstone_DeletedAt";
           INSERT INTO "dms"."ProjectionProgress" ("Consumer", "Position", "UpdatedAt") VALUES ('c', '0/2A', now())"#,
    )
    .await;
    let SchemaState::Outdated { missing } = check(&database, &built.schema).await else { panic!("it is outdated") };
    let added = [
        "ProjectionProgress\".\"Term",
        "ProjectionProgress\".\"Stream",
        "Tombstone\".\"IX_Tombstone_DeletedAt",
        "EffectiveSchema\".\"History",
        "ProjectionProgress\".\"History",
    ];
    assert_eq!(missing, added.map(|name| format!(r#""dms"."{name}""#)));
    assert_eq!(apply(&database, &built).await.expect("applies"), Applied::Upgraded);
    assert_eq!(check(&database, &built.schema).await, SchemaState::Current);
    assert_eq!(text(&database, COLUMNS_SQL).await, new);
    let kept = r#"SELECT format('%s %s %s', "Position", "Term", "Stream") FROM "dms"."ProjectionProgress""#;
    assert_eq!(text(&database, kept).await, "0/2A 0 ");
    assert_eq!(apply(&database, &built).await.expect("applies"), Applied::AlreadyCurrent);
}

#[tokio::test]
async fn a_schema_dms_of_somebody_else_is_left_alone() {
    let database = TestDatabase::create().await;
    execute(&database, r#"CREATE SCHEMA "dms"; CREATE TABLE "dms"."Theirs" (x int)"#).await;
    let error = refusal(apply(&database, &fixtures()).await);
    assert!(error.to_string().contains("Theirs"), "{error}");
}

#[tokio::test]
async fn two_appliers_take_turns() {
    let database = TestDatabase::create().await;
    let built = Arc::new(fixtures());
    let one = apply(&database, &built);
    let other = apply(&database, &built);
    let (one, other) = tokio::join!(one, other);
    let mut outcomes = [one.expect("applies"), other.expect("applies")];
    outcomes.sort_by_key(|applied| *applied == Applied::AlreadyCurrent);
    assert_eq!(outcomes, [Applied::Created, Applied::AlreadyCurrent]);
}

#[tokio::test]
async fn a_script_that_fails_leaves_an_empty_database_and_names_the_line() {
    let database = TestDatabase::create().await;
    let mut built = fixtures();
    built.ddl.push_str("CREATE TABLE public.typo (x nonsuch);\n");
    let error = refusal(apply(&database, &built).await);
    assert!(matches!(&error, ProvisionError::Ddl { near, .. } if near.contains("public.typo")), "{error}");
    assert_eq!(check(&database, &built.schema).await, SchemaState::Empty);
    assert_eq!(number(&database, "SELECT count(*) FROM pg_namespace WHERE nspname = 'dms'").await, 0);
}

#[tokio::test]
async fn a_role_without_the_right_is_told_which_one() {
    let database = TestDatabase::create().await;
    let role = format!("reader_of_{}", database.options().dbname());
    execute(&database, &format!("CREATE ROLE {role} LOGIN PASSWORD 'secret'")).await;
    let options = millstream_store::connect::ConnectOptions::new(
        "127.0.0.1",
        database.options().port(),
        &role,
        database.options().dbname(),
    )
    .with_password("secret");
    let built = fixtures();
    let limited = Database::connect(&options, 1).await.expect("connects");
    let error = refusal(provision::apply(&limited, &built.schema, &built.ddl).await);
    assert!(error.to_string().contains("GRANT CREATE ON DATABASE"), "{error}");
    assert!(!provision::server_facts(&limited).await.expect("answers").may_replicate);
    limited.close();
    execute(&database, &format!("DROP ROLE {role}")).await;
}

#[tokio::test]
async fn a_database_that_cannot_store_every_name_is_refused_with_the_command_for_a_right_one() {
    let server = TestDatabase::create().await;
    let admin = server.session().await;
    for encoding in ["SQL_ASCII", "LATIN1"] {
        let name = format!("{}_{}", server.options().dbname(), encoding.to_lowercase());
        let create = format!("CREATE DATABASE {name} TEMPLATE template0 ENCODING '{encoding}' LOCALE 'C'");
        admin.batch_execute(&create).await.expect("created");
        let database = Database::connect(&server.options().clone().with_dbname(&name), 1).await.expect("connects");
        let built = fixtures();
        let error = refusal(provision::apply(&database, &built.schema, &built.ddl).await).to_string();
        assert!(error.contains(encoding) && error.contains("TEMPLATE template0 ENCODING 'UTF8'"), "{error}");
        let facts = provision::server_facts(&database).await.expect("facts");
        assert!(facts.check_encoding(database.options()).is_err());
        database.close();
        admin.batch_execute(&format!("DROP DATABASE {name} WITH (FORCE)")).await.expect("dropped");
    }
}

#[tokio::test]
async fn too_many_relations_are_refused_beforehand() {
    let database = TestDatabase::create().await;
    let mut built = fixtures();
    for number in 0..200_000 {
        built.ddl.push_str(&format!("CREATE TABLE public.t{number} (x int);\n"));
    }
    let error = refusal(apply(&database, &built).await);
    assert!(error.to_string().contains("max_locks_per_transaction = "), "{error}");
    assert_eq!(check(&database, &built.schema).await, SchemaState::Empty);
}

#[tokio::test]
async fn a_server_with_too_small_a_lock_table_works_with_the_setting_named() {
    let mut options = TestCluster::fast_options();
    let small = [("max_locks_per_transaction", "10"), ("max_connections", "10"), ("max_wal_senders", "5")];
    options.settings.extend(small.map(|(name, value)| (name.to_owned(), value.to_owned())));
    let cluster = TestCluster::start(options.clone()).await;
    let database = TestDatabase::create_in(&cluster).await;
    let built = fixtures();
    let error = refusal(apply(&database, &built).await);
    let ProvisionError::TooFewLocks { setting, .. } = error else { panic!("{error}") };

    options.settings.insert("max_locks_per_transaction".to_owned(), setting.to_string());
    let cluster = TestCluster::start(options).await;
    let database = TestDatabase::create_in(&cluster).await;
    assert_eq!(apply(&database, &built).await.expect("applies"), Applied::Created);
}

#[tokio::test]
async fn a_publication_left_by_a_dropped_schema_is_no_obstacle() {
    let database = TestDatabase::create().await;
    let mut built = fixtures();
    built.ddl.clear();
    apply(&database, &built).await.expect("applies");
    execute(&database, r#"DROP SCHEMA "dms" CASCADE"#).await;
    assert_eq!(apply(&database, &built).await.expect("applies"), Applied::Created);
}

async fn assert_estimate(built: &Built) {
    let database = TestDatabase::create().await;
    let script = provision::script(&built.schema, &built.ddl);
    let mut session = database.session().await;
    let transaction = session.client_mut().transaction().await.expect("begins");
    transaction.batch_execute(&script).await.unwrap_or_else(|error| panic!("{error:?}"));
    let row = transaction
        // One lock held in several modes is several rows but one entry of the lock table.
        .query_one(
            "SELECT count(DISTINCT (locktype, database, relation, classid, objid, transactionid::text, virtualxid))
             FROM pg_locks WHERE pid = pg_backend_pid() AND NOT fastpath",
            &[],
        )
        .await
        .expect("counts");
    let (taken, estimate) = (row.get::<_, i64>(0).cast_unsigned(), provision::locks_needed(&script));
    println!("{} resource keys: {taken} locks taken, {estimate} foreseen", built.schema.resource_keys.len());
    assert!(estimate >= taken && estimate <= taken + taken / 5 + 64, "{estimate} foreseen, {taken} taken");
}

#[tokio::test]
async fn locks_are_foreseen() {
    assert_estimate(&fixtures()).await;
    if let Some(corpus) = corpus::find_or_skip() {
        assert_estimate(&built(&corpus)).await;
    }
}

#[tokio::test]
async fn the_script_is_the_same_every_time() {
    let (one, other) = (fixtures(), fixtures());
    assert_eq!(provision::script(&one.schema, &one.ddl), provision::script(&other.schema, &other.ddl));
}

/// The shared tables as of this version, without comments and blank lines.
const SHARED_TABLES: &str = "tests/golden/dms.sql";

/// Set to rewrite the golden file.
const REGENERATE: &str = "MILLSTREAM_TEST_REGENERATE";

#[test]
fn the_shared_tables_are_pinned() {
    let lines = provision::DMS_DDL.lines().map(str::trim_end);
    let statements: Vec<&str> = lines.filter(|line| !line.is_empty() && !line.trim_start().starts_with("--")).collect();
    let current = statements.join("\n") + "\n";
    let golden = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(SHARED_TABLES);
    if std::env::var_os(REGENERATE).is_some() {
        std::fs::write(&golden, &current).expect("the golden file can be written");
    }
    let pinned = std::fs::read_to_string(&golden).expect("the golden file is there");
    assert!(
        pinned == current,
        "sql/dms.sql changed. Databases that exist keep their tables, and no hash tells the difference: add each new \
         column or index to ADDED in src/provision/upgrade.rs, so that `ddl apply` adds it there too; other changes need \
         a new database. Then run `{REGENERATE}=1 cargo test -p millstream-store --test provision pinned` and commit \
         {SHARED_TABLES}"
    );
}
