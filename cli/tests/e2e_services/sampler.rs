//! Measures the lag of the cache: from the response to an edit until the cache holds it.

use crate::support::http::Http;
use millstream_store::connect::Session;
use millstream_testkit::corpus::Document;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// Pause between two edits.
const PAUSE: Duration = Duration::from_millis(40);
/// Longest lag that is measured; a longer one is reported as this value.
const LONGEST: Duration = Duration::from_secs(20);

const CACHED_SQL: &str =
    r#"SELECT EXISTS (SELECT FROM "dms"."DocumentCache" WHERE "DocumentUuid" = $1 AND "ContentVersion" >= $2)"#;

/// One edit.
pub(crate) struct Sample {
    /// Time of the request, relative to the start of the run.
    pub(crate) at: Duration,
    /// From the response until the cache held the edit.
    pub(crate) lag: Duration,
}

/// Edits one document repeatedly.
pub(crate) struct Sampler {
    http: Http,
    client: Session,
    path: String,
    body: Value,
    edits: usize,
}

impl Sampler {
    /// Creates a sampler that edits its own student, made from one of the documents.
    pub(crate) fn new(http: Http, client: Session, documents: &[Document]) -> Self {
        let student = documents.iter().find(|one| one.resource == "students").expect("a student among the documents");
        let mut body: Value = serde_json::from_slice(student.body()).expect("JSON");
        body["studentUniqueId"] = json!("sampler-1");
        Self { http, client, path: format!("{}/students", student.project), body, edits: 0 }
    }

    /// Edits until `stop` is cancelled; returns the samples. Edits without a response are left out.
    pub(crate) async fn run(&mut self, stop: &CancellationToken) -> Vec<Sample> {
        let (mut samples, started) = (Vec::new(), Instant::now());
        while stop.run_until_cancelled(tokio::time::sleep(PAUSE)).await.is_some() {
            let at = started.elapsed();
            if let Some(lag) = self.edit().await {
                samples.push(Sample { at, lag });
            }
        }
        samples
    }

    async fn edit(&mut self) -> Option<Duration> {
        self.edits += 1;
        self.body["firstName"] = json!(format!("Edit {}", self.edits));
        let reply = self.http.try_post(&self.path, self.body.to_string()).await.ok()?;
        let (uuid, version) = (reply.id?, reply.etag?);
        let answered = Instant::now();
        let statement = self.client.prepare(CACHED_SQL).await.ok()?;
        while answered.elapsed() < LONGEST {
            let cached = self.client.query_one(&statement, &[&uuid, &version]).await.ok()?;
            if cached.get(0) {
                return Some(answered.elapsed());
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Some(LONGEST)
    }
}

/// Returns the given percentile.
pub(crate) fn percentile(lags: &[Duration], percent: usize) -> Duration {
    let mut sorted = lags.to_vec();
    sorted.sort();
    sorted.get((sorted.len() * percent / 100).min(sorted.len().saturating_sub(1))).copied().unwrap_or_default()
}
