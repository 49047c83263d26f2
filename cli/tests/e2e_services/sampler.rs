//! How long a change takes to reach the cache, measured from its answer.

use crate::support::http::Http;
use millstream_store::connect::Session;
use millstream_testkit::corpus::Document;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// Pause between two edits.
const PACE: Duration = Duration::from_millis(40);
/// A change that takes longer is told as that long.
const LONGEST: Duration = Duration::from_secs(20);

const CACHED_SQL: &str =
    r#"SELECT EXISTS (SELECT FROM "dms"."DocumentCache" WHERE "DocumentUuid" = $1 AND "ContentVersion" >= $2)"#;

/// One edit.
pub(crate) struct Sample {
    /// When it was sent, since the first of them could have been.
    pub(crate) at: Duration,
    /// From its answer until the cache had it.
    pub(crate) lag: Duration,
}

/// Edits one document again and again.
pub(crate) struct Sampler {
    http: Http,
    client: Session,
    path: String,
    body: Value,
    turns: usize,
}

impl Sampler {
    /// With a student of its own, made from one of the documents.
    pub(crate) fn new(http: Http, client: Session, documents: &[Document]) -> Self {
        let student = documents.iter().find(|one| one.resource == "students").expect("there is a student");
        let mut body: Value = serde_json::from_slice(student.body()).expect("JSON");
        body["studentUniqueId"] = json!("sampler-1");
        Self { http, client, path: format!("{}/students", student.project), body, turns: 0 }
    }

    /// Edits until told to stop; how long each change took. Edits that a killed process did not answer are left out.
    pub(crate) async fn run(&mut self, stop: &CancellationToken) -> Vec<Sample> {
        let (mut samples, started) = (Vec::new(), Instant::now());
        while stop.run_until_cancelled(tokio::time::sleep(PACE)).await.is_some() {
            let at = started.elapsed();
            if let Some(lag) = self.edit().await {
                samples.push(Sample { at, lag });
            }
        }
        samples
    }

    async fn edit(&mut self) -> Option<Duration> {
        self.turns += 1;
        self.body["firstName"] = json!(format!("Turn {}", self.turns));
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

/// The value below which so many per cent lie.
pub(crate) fn percentile(lags: &[Duration], per_cent: usize) -> Duration {
    let mut sorted = lags.to_vec();
    sorted.sort();
    sorted.get((sorted.len() * per_cent / 100).min(sorted.len().saturating_sub(1))).copied().unwrap_or_default()
}
