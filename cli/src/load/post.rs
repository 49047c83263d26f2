//! Posting one line, with retries while the server is unreachable or busy.

use super::line::Line;
use millstream_pipeline::error::chain;
use reqwest::{Client, StatusCode, Url, header};
use serde::Deserialize;
use std::time::{Duration, Instant};

/// First pause before a retry; it doubles up to [`PAUSE_MAX`].
const PAUSE_FIRST: Duration = Duration::from_millis(50);
/// Longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// Attempts at a line that is answered with 500: the server has used up its own retries by then.
const SYSTEM_ERROR_ATTEMPTS: u32 = 3;
/// Longest wait for a response.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(120);
/// Prefix of the `type` of a problem document.
const PROBLEM_PREFIX: &str = "urn:ed-fi:api:";

/// Longest retry of one line while the server is unreachable or busy.
#[derive(Debug, Clone, Copy)]
pub struct RetryLimit(pub Duration);

/// The result of posting a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PostResult {
    /// 201.
    Created,
    /// Any other success: the document existed, changed or not.
    Existing,
    /// Any other response.
    Refused(RefusedResponse),
    /// No response until the retry limit.
    Unreachable { reason: String, waited: Duration },
}

/// A refusal, parsed as a problem document as far as possible.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RefusedResponse {
    pub(super) status: u16,
    /// The `type` without its common prefix; empty without a type.
    pub(super) kind: String,
    /// The most specific message.
    pub(super) detail: String,
    /// The unchanged body.
    pub(super) body: String,
}

impl RefusedResponse {
    /// Whether the line may be accepted after earlier ones: its references or descriptors may not have existed yet.
    pub(super) fn may_depend_on_order(&self) -> bool {
        matches!(self.status, 400 | 409)
    }
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Problem {
    #[serde(rename = "type")]
    kind: String,
    title: String,
    detail: String,
    errors: Vec<String>,
    validation_errors: std::collections::BTreeMap<String, Vec<String>>,
}

/// Posts lines over kept-alive connections.
#[derive(Debug, Clone)]
pub(super) struct Poster {
    client: Client,
    url: Url,
    retry_limit: RetryLimit,
}

impl Poster {
    pub(super) fn new(url: Url, connections: usize, retry_limit: RetryLimit) -> Result<Self, reqwest::Error> {
        let client = Client::builder()
            .pool_max_idle_per_host(connections)
            .tcp_nodelay(true)
            .no_proxy()
            .timeout(RESPONSE_TIMEOUT)
            .build()?;
        Ok(Self { client, url, retry_limit })
    }

    pub(super) fn url(&self) -> &Url {
        &self.url
    }

    /// Posts the line until there is a result that a retry would not change, or the retry limit is reached.
    pub(super) async fn post(&self, line: &Line) -> PostResult {
        let started = Instant::now();
        let (mut pause, mut system_errors) = (PAUSE_FIRST, 0);
        loop {
            let reason = match self.attempt(line).await {
                Ok(PostResult::Refused(refused))
                    if refused.status == 500 && system_errors + 1 < SYSTEM_ERROR_ATTEMPTS =>
                {
                    system_errors += 1;
                    refused.detail
                }
                Ok(PostResult::Refused(refused)) if matches!(refused.status, 429 | 502 | 503 | 504) => {
                    format!("{} {}", refused.status, refused.detail)
                }
                Ok(result) => return result,
                Err(error) => chain(&error),
            };
            let waited = started.elapsed();
            if waited + pause > self.retry_limit.0 {
                return PostResult::Unreachable { reason, waited };
            }
            tokio::time::sleep(pause).await;
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
        // Always read: an unread body would close the connection.
        let body = response.bytes().await?;
        Ok(match status {
            StatusCode::CREATED => PostResult::Created,
            status if status.is_success() => PostResult::Existing,
            status => PostResult::Refused(refusal(status, &body)),
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
    RefusedResponse {
        status: status.as_u16(),
        kind: problem.kind.strip_prefix(PROBLEM_PREFIX).unwrap_or(&problem.kind).to_owned(),
        detail: if detail.is_empty() { problem.title } else { detail },
        body: String::from_utf8_lossy(body).into_owned(),
    }
}
