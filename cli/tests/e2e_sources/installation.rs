//! The installation of these tests: a database, a shared broker, and setups of processes.

use crate::school::School;
use crate::support::api_server::ApiServer;
use crate::support::process::{Process, Setup, run};
use millstream_store::load::Caches;
use millstream_testkit::{KafkaBroker, TestDatabase, World, wait_until};
use millstream_writer::WriterOptions;
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

/// Limit of one step of a test.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(60);

/// Counts the documents that the cache does not hold at their version.
const BEHIND_SQL: &str = r#"SELECT count(*) FROM "dms"."Document" d LEFT JOIN "dms"."DocumentCache" c USING ("DocumentId")
    WHERE c."ContentVersion" IS DISTINCT FROM d."ContentVersion""#;

/// A database, the broker and the data folders of one test.
pub(crate) struct Installation {
    pub(crate) database: TestDatabase,
    pub(crate) bootstrap_servers: String,
    folder: TempDir,
}

impl Installation {
    pub(crate) async fn new() -> Self {
        let (database, broker) = tokio::join!(World::fixtures().database(), KafkaBroker::shared());
        let folder = tempfile::tempdir().expect("a folder");
        Self { database, bootstrap_servers: broker.bootstrap_servers(), folder }
    }

    /// Returns a unique name for slots, which are global in a cluster, and topics.
    pub(crate) fn name(&self) -> String {
        self.database.options().dbname().to_owned()
    }

    /// Returns a setup with its own data folder and no sinks. Renames leave their referrers to cascades.
    pub(crate) fn setup(&self, name: &str, flags: &[String]) -> Setup {
        let mut all = vec!["--sinks=".to_owned(), "--cascade-strict-max=2".to_owned(), "--cascade-page=5".to_owned()];
        if !flags.iter().any(|flag| flag.starts_with("--source-slot=")) {
            all.push(format!("--source-slot=slot_{}", self.name()));
        }
        all.extend_from_slice(flags);
        Setup {
            schema_dir: World::fixtures().corpus.schema_dir(),
            data_dir: self.folder.path().join(name),
            database: self.database.options().clone(),
            listen: "127.0.0.1:0".to_owned(),
            flags: all,
        }
    }

    /// Returns the flags for the topic of `millstream publish`, for publisher and reader.
    pub(crate) fn topic_flags(&self) -> Vec<String> {
        vec![
            "--source-kind=topic".to_owned(),
            format!("--source-topic=changes-{}", self.name()),
            format!("--kafka-bootstrap-servers={}", self.bootstrap_servers),
        ]
    }

    /// Starts the API without a projector.
    pub(crate) async fn serve(&self) -> ApiServer {
        let mapping = &World::fixtures().mapping;
        let options = WriterOptions { strict_max: 2, ..WriterOptions::default() };
        ApiServer::start(self.database.database(), mapping, &Arc::new(Caches::default()), options).await
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

    /// Waits until the last error of the projector contains these words.
    pub(crate) async fn wait_for_error(&self, setup: &Setup, words: &str) {
        wait_until(words, TIMEOUT, || async {
            let status = self.status(setup).await;
            let error = status.pointer("/projector/last_error/text").and_then(Value::as_str);
            error.is_some_and(|error| error.contains(words))
        })
        .await;
    }

    /// Runs `millstream verify`, which must find no difference and no lag.
    pub(crate) async fn verify(&self, setup: &Setup) {
        let (code, text) = run(setup, &["verify", "--wait-s=60"]).await;
        assert_eq!(code, Some(0), "{text}\n{}", setup.log_tail());
        assert!(text.lines().any(|line| line == "differences: 0"), "{text}");
    }

    /// Checks that the cache holds every document at its version, and that all enrolments show the name of the period.
    pub(crate) async fn assert_cached(&self, school: &School) {
        assert_eq!(self.value::<i64>(BEHIND_SQL).await, 0);
        let embedding = format!(
            r#"SELECT count(*) FROM "dms"."DocumentCache"
               WHERE "Body"::jsonb #>> '{{homeroomClassPeriodReference,classPeriodName}}' = '{}'"#,
            school.period_name()
        );
        assert_eq!(self.value::<i64>(&embedding).await, school.enrolled() as i64, "{}", school.period_name());
    }

    /// Returns the stream whose position is stored.
    pub(crate) async fn stream(&self) -> String {
        self.value(r#"SELECT "Stream" FROM "dms"."ProjectionProgress""#).await
    }

    /// Waits until a projector has stored its position and no comparison is pending.
    pub(crate) async fn wait_stored(&self) {
        let sql = r#"SELECT EXISTS (SELECT FROM "dms"."ProjectionProgress"
                                    WHERE "Epoch" <> '00000000-0000-0000-0000-000000000000')"#;
        wait_until("the stream position to be stored", TIMEOUT, || self.value(sql)).await;
    }

    /// Waits until a process on this setup has stored a watermark after every transaction in the outbox.
    pub(crate) async fn wait_marked(&self, setup: &Setup) {
        let sql = r#"SELECT EXISTS (SELECT FROM "dms"."ProjectionProgress" p WHERE p."WatermarkSnapshot" IS NOT NULL
                     AND NOT EXISTS (SELECT FROM "dms"."Outbox" o
                                     WHERE NOT pg_visible_in_snapshot(o."TransactionId", p."WatermarkSnapshot")))"#;
        let up = Process::start(setup).await;
        wait_until("a watermark after everything", TIMEOUT, || self.value(sql)).await;
        up.stop().await;
    }
}

/// Waits until a publisher is ready, that is, receives changes.
pub(crate) async fn wait_published(what: &str, publisher: &Process) {
    wait_until(what, TIMEOUT, || publisher.http.is_ready()).await;
}

/// Reads `/metrics` of a process.
pub(crate) async fn metrics_of(up: &Process) -> String {
    let client = millstream_testkit::http_client().build().expect("an HTTP client");
    let response = client.get(format!("http://{}/metrics", up.http.address())).send().await.expect("a response");
    response.text().await.expect("metrics are text")
}

fn number(status: &Value, path: &str) -> u64 {
    status.pointer(path).and_then(Value::as_u64).unwrap_or_else(|| panic!("no {path} in {status:#}"))
}

/// Returns the number of documents compared with the cache since the start.
pub(crate) fn compared(status: &Value) -> u64 {
    number(status, "/projector/resync/compared")
}

/// Returns the number of changes consumed since the start.
pub(crate) fn changes(status: &Value) -> u64 {
    number(status, "/projector/source/changes")
}
