//! Where these tests run: a database, a broker that they share, and setups of processes that work there.

use crate::school::School;
use crate::support::child::{Setup, Up, run};
use crate::support::door::Door;
use millstream_store::load::Caches;
use millstream_testkit::{KafkaBroker, TestDatabase, World, wait_until};
use millstream_writer::WriterOptions;
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

/// How long a step of a test may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Which documents the cache does not hold as they are.
const BEHIND_SQL: &str = r#"SELECT count(*) FROM "dms"."Document" d LEFT JOIN "dms"."DocumentCache" c USING ("DocumentId")
    WHERE c."ContentVersion" IS DISTINCT FROM d."ContentVersion""#;

pub(crate) struct Place {
    pub(crate) database: TestDatabase,
    pub(crate) bootstrap_servers: String,
    folder: TempDir,
}

impl Place {
    pub(crate) async fn new() -> Self {
        let (database, broker) = tokio::join!(World::fixtures().database(), KafkaBroker::shared());
        let folder = tempfile::tempdir().expect("a folder");
        Self { database, bootstrap_servers: broker.bootstrap_servers(), folder }
    }

    /// A name that no other test has: of the slot, as those are named in a whole cluster, and of the topic.
    pub(crate) fn name(&self) -> String {
        self.database.options().dbname().to_owned()
    }

    /// A process with a data folder of its own. Renames are left to the cascade, and there are no sinks.
    pub(crate) fn setup(&self, name: &str, flags: &[String]) -> Setup {
        let file = World::fixtures().corpus.schema_paths().into_iter().next().expect("a schema file");
        let mut all = vec!["--sinks=".to_owned(), "--cascade-strict-max=2".to_owned(), "--cascade-page=5".to_owned()];
        if !flags.iter().any(|flag| flag.starts_with("--source-slot=")) {
            all.push(format!("--source-slot=slot_{}", self.name()));
        }
        all.extend_from_slice(flags);
        Setup {
            schema_dir: file.parent().expect("a folder").to_owned(),
            data_dir: self.folder.path().join(name),
            database: self.database.options().clone(),
            listen: "127.0.0.1:0".to_owned(),
            flags: all,
        }
    }

    /// For our own topic, those who fill it and those who read it.
    pub(crate) fn topic_flags(&self) -> Vec<String> {
        vec![
            "--source-kind=topic".to_owned(),
            format!("--source-topic=changes-{}", self.name()),
            format!("--kafka-bootstrap-servers={}", self.bootstrap_servers),
        ]
    }

    /// The API alone, for writes while nobody follows.
    pub(crate) async fn door(&self) -> Door {
        let mapping = &World::fixtures().mapping;
        let options = WriterOptions { strict_max: 2, ..WriterOptions::default() };
        Door::open(self.database.database(), mapping, &Arc::new(Caches::default()), options).await
    }

    pub(crate) async fn value<T: for<'a> tokio_postgres::types::FromSql<'a>>(&self, sql: &str) -> T {
        let client = self.database.database().get().await.expect("a connection");
        client.query_one(sql, &[]).await.unwrap_or_else(|error| panic!("{sql}: {error:?}")).get(0)
    }

    pub(crate) async fn status(&self, setup: &Setup) -> Value {
        let (code, text) = run(setup, &["status", "--json", "--log-level=error"]).await;
        assert_eq!(code, Some(0), "{text}: {}", setup.log_tail());
        serde_json::from_str(&text).expect("JSON")
    }

    /// Waits until the projector complains with these words.
    pub(crate) async fn wait_told(&self, setup: &Setup, words: &str) {
        wait_until(words, PATIENCE, || async {
            let status = self.status(setup).await;
            let told = status.pointer("/projector/last_error/text").and_then(Value::as_str);
            told.is_some_and(|told| told.contains(words))
        })
        .await;
    }

    /// `millstream verify` finds nothing wrong and nothing behind.
    pub(crate) async fn verify(&self, setup: &Setup) {
        let (code, text) = run(setup, &["verify", "--wait-s=60"]).await;
        assert_eq!(code, Some(0), "{text}\n{}", setup.log_tail());
        assert!(text.lines().any(|line| line == "differences: 0"), "{text}");
    }

    /// The cache holds every document at its version, and what embeds the renamed one shows its name.
    pub(crate) async fn assert_cached(&self, school: &School) {
        assert_eq!(self.value::<i64>(BEHIND_SQL).await, 0);
        let embedding = format!(
            r#"SELECT count(*) FROM "dms"."DocumentCache"
               WHERE "Body"::jsonb #>> '{{homeroomClassPeriodReference,classPeriodName}}' = '{}'"#,
            school.period_name()
        );
        assert_eq!(self.value::<i64>(&embedding).await, school.enrolled() as i64, "{}", school.period_name());
    }

    /// The stream whose position is stored.
    pub(crate) async fn stream(&self) -> String {
        self.value(r#"SELECT "Stream" FROM "dms"."ProjectionProgress""#).await
    }

    /// Waits until something follows and owes no comparison.
    pub(crate) async fn wait_stored(&self) {
        let sql = r#"SELECT EXISTS (SELECT FROM "dms"."ProjectionProgress"
                                    WHERE "Epoch" <> '00000000-0000-0000-0000-000000000000')"#;
        wait_until("the stream to be relied on", PATIENCE, || self.value(sql)).await;
    }

    /// Waits until a process on this setup has stored a watermark that sees everything in the outbox.
    pub(crate) async fn wait_marked(&self, setup: &Setup) {
        let sql = r#"SELECT EXISTS (SELECT FROM "dms"."ProjectionProgress" p WHERE p."WatermarkSnapshot" IS NOT NULL
                     AND NOT EXISTS (SELECT FROM "dms"."Outbox" o
                                     WHERE NOT pg_visible_in_snapshot(o."TransactionId", p."WatermarkSnapshot")))"#;
        let up = Up::start(setup).await;
        wait_until("a watermark of everything", PATIENCE, || self.value(sql)).await;
        up.stop().await;
    }
}

/// Waits until a publisher says that changes arrive.
pub(crate) async fn wait_published(what: &str, publisher: &Up) {
    wait_until(what, PATIENCE, || publisher.http.is_ready()).await;
}

/// `/metrics` of a process.
pub(crate) async fn metrics_of(up: &Up) -> String {
    let client = millstream_testkit::http_client().build().expect("an HTTP client");
    let answer = client.get(format!("http://{}/metrics", up.http.address())).send().await.expect("an answer");
    answer.text().await.expect("a text")
}

fn number(status: &Value, path: &str) -> u64 {
    status.pointer(path).and_then(Value::as_u64).unwrap_or_else(|| panic!("no {path} in {status:#}"))
}

/// Documents that were compared with the cache since the start.
pub(crate) fn compared(status: &Value) -> u64 {
    number(status, "/projector/resync/compared")
}

/// Changes that were taken in since the start.
pub(crate) fn changes(status: &Value) -> u64 {
    number(status, "/projector/source/changes")
}
