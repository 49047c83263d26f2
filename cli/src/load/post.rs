//! Posting one line until its answer is final. A passing failure, of the server or of the connection, is waited for.

use super::line::Line;
use millstream_pipeline::error::chain;
use reqwest::{Client, StatusCode, Url, header};
use serde::Deserialize;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// First pause before a retry; it doubles up to [`PAUSE_MAX`].
const PAUSE_FIRST: Duration = Duration::from_millis(50);
/// Longest pause, unless the server asks for a longer one.
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// Longest pause that the server can ask for (`Retry-After`).
const RETRY_AFTER_MAX: Duration = Duration::from_secs(30);
/// Longest wait for a response.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(120);
/// Prefix of the `type` of a problem document.
const PROBLEM_PREFIX: &str = "urn:ed-fi:api:";

/// Longest wait of one line for a final answer.
#[derive(Debug, Clone, Copy)]
pub struct RetryLimit(pub Duration);

/// The result of posting a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PostResult {
    /// 201.
    Created,
    /// Any other success: the document existed, changed or not.
    Existing,
    /// A final refusal.
    Refused(RefusedResponse),
    /// Only passing failures until the retry limit. `last` is the last answer, if there was one.
    NoFinalAnswer { reason: String, last: Option<RefusedResponse>, waited: Duration },
    /// The load was interrupted while the line waited for its next attempt.
    Interrupted,
}

/// A failure that was waited for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PassingFailure {
    /// Status of the answer; 0 without one.
    pub status: u16,
    /// Problem type of the answer, without its common prefix.
    pub kind: String,
}

/// A refusal, parsed as a problem document as far as possible.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RefusedResponse {
    pub(super) status: u16,
    /// The `type` without its common prefix; empty without a type.
    pub(super) kind: String,
    /// The most specific message.
    pub(super) detail: String,
    /// The unchanged body of the answer.
    pub(super) body: String,
    /// The pause that the server asks for.
    pub(super) retry_after: Option<Duration>,
}

impl RefusedResponse {
    /// Whether the line may be accepted after earlier ones: its references or descriptors may not have existed yet.
    pub(super) fn may_depend_on_order(&self) -> bool {
        matches!(self.status, 400 | 409)
    }

    /// Whether the same request may be accepted later: the answer says something about the server, not about the line.
    fn is_passing(&self) -> bool {
        // 501 and 505 say that the server will never know the method or the protocol.
        matches!(self.status, 408 | 425 | 429) || (self.status >= 500 && !matches!(self.status, 501 | 505))
    }
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Problem {
    #[serde(rename = "type")]
    kind: String,
    title: String,
    detail: String,
    correlation_id: String,
    errors: Vec<String>,
    validation_errors: std::collections::BTreeMap<String, Vec<String>>,
}

/// Posts lines over kept-alive connections.
#[derive(Debug, Clone)]
pub(super) struct Poster {
    client: Client,
    url: Url,
    retry_limit: RetryLimit,
    stop: CancellationToken,
}

impl Poster {
    /// Creates a poster. After `stop`, it makes no further attempt at a line.
    pub(super) fn new(
        url: Url,
        connections: usize,
        retry_limit: RetryLimit,
        stop: CancellationToken,
    ) -> Result<Self, reqwest::Error> {
        let client = Client::builder()
            .pool_max_idle_per_host(connections)
            .tcp_nodelay(true)
            .no_proxy()
            .timeout(RESPONSE_TIMEOUT)
            .build()?;
        Ok(Self { client, url, retry_limit, stop })
    }

    pub(super) fn url(&self) -> &Url {
        &self.url
    }

    /// Posts the line until its answer is final, or the retry limit is reached. Adds every other failure to `passed`.
    pub(super) async fn post(&self, line: &Line, passed: &mut Vec<PassingFailure>) -> PostResult {
        let started = Instant::now();
        let mut pause = PAUSE_FIRST;
        loop {
            let (reason, last) = match self.attempt(line).await {
                Ok(PostResult::Refused(refused)) if refused.is_passing() => {
                    (format!("{} {}", refused.status, refused.detail), Some(refused))
                }
                Ok(result) => return result,
                Err(error) => (chain(&error), None),
            };
            let (status, kind) = last.as_ref().map_or((0, String::new()), |last| (last.status, last.kind.clone()));
            passed.push(PassingFailure { status, kind });
            let waited = started.elapsed();
            let left = self.retry_limit.0.saturating_sub(waited);
            if left.is_zero() {
                return PostResult::NoFinalAnswer { reason, last, waited };
            }
            let asked = last.and_then(|last| last.retry_after).unwrap_or_default().min(RETRY_AFTER_MAX);
            let resting = tokio::time::sleep(pause.max(asked).min(left));
            if self.stop.run_until_cancelled(resting).await.is_none() {
                return PostResult::Interrupted;
            }
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    async fn attempt(&self, line: &Line) -> Result<PostResult, reqwest::Error> {
        let mut url = self.url.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(["data", &line.project, &line.resource]);
        }
        let request = self.client.post(url).header(header::CONTENT_TYPE, "application/json").body(line.body.clone());
        let response = request.send().await?;
        let status = response.status();
        let retry_after = response.headers().get(header::RETRY_AFTER);
        // The form with a date is for caches; no server of ours sends it.
        let retry_after = retry_after.and_then(|value| value.to_str().ok()?.parse().ok()).map(Duration::from_secs);
        // Always read: an unread body would close the connection.
        let body = response.bytes().await?;
        Ok(match status {
            StatusCode::CREATED => PostResult::Created,
            status if status.is_success() => PostResult::Existing,
            status => PostResult::Refused(RefusedResponse { retry_after, ..refusal(status, &body) }),
        })
    }
}

fn refusal(status: StatusCode, body: &[u8]) -> RefusedResponse {
    let problem: Problem = serde_json::from_slice(body).unwrap_or_default();
    let first_error = problem.errors.into_iter().next();
    let first_validation = problem
        .validation_errors
        .into_iter()
        .find_map(|(path, messages)| messages.into_iter().next().map(|message| format!("{path}: {message}")));
    let detail = first_validation.or(first_error).unwrap_or(problem.detail);
    let mut detail = if detail.is_empty() { problem.title } else { detail };
    if status.is_server_error() && !problem.correlation_id.is_empty() {
        detail.push_str(&format!(" (correlation id {})", problem.correlation_id));
    }
    RefusedResponse {
        status: status.as_u16(),
        kind: problem.kind.strip_prefix(PROBLEM_PREFIX).unwrap_or(&problem.kind).to_owned(),
        detail,
        body: String::from_utf8_lossy(body).into_owned(),
        retry_after: None,
    }
}
