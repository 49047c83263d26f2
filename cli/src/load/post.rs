//! One line as one request, repeated while the server is away.

use super::line::Line;
use reqwest::{Client, StatusCode, Url, header};
use serde::Deserialize;
use std::time::{Duration, Instant};

/// First pause before a repetition; it doubles up to [`PAUSE_MAX`].
const PAUSE_FIRST: Duration = Duration::from_millis(50);
/// Longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// How often an answer 500 is asked for again: the server has used up its own repetitions by then.
const SYSTEM_ERROR_ATTEMPTS: u32 = 3;
/// A request without an answer for so long counts as lost.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(120);
/// What precedes the kind in the `type` of a problem document.
const PROBLEM_PREFIX: &str = "urn:ed-fi:api:";

/// How long a server that is away is waited for.
#[derive(Debug, Clone, Copy)]
pub struct Patience(pub Duration);

impl Default for Patience {
    fn default() -> Self {
        Self(Duration::from_secs(60))
    }
}

/// What came back for a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// 201.
    Created,
    /// Any other success: it was there, changed or not.
    Existing,
    /// Anything else.
    Refused(Refused),
    /// No answer for longer than the patience.
    Unreachable { reason: String, waited: Duration },
}

/// A refusal: the problem document, as far as it is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) status: u16,
    /// The `type` without its common prefix; empty if there is none.
    pub(super) kind: String,
    /// The most telling sentence.
    pub(super) detail: String,
    /// The body as it came.
    pub(super) answer: String,
}

impl Refused {
    /// Whether the same request may be accepted once earlier lines are: references and descriptors that were not there.
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
    patience: Patience,
}

impl Poster {
    pub(super) fn new(url: Url, connections: usize, patience: Patience) -> Result<Self, reqwest::Error> {
        let client = Client::builder()
            .pool_max_idle_per_host(connections)
            .tcp_nodelay(true)
            .no_proxy()
            .timeout(ANSWER_TIMEOUT)
            .build()?;
        Ok(Self { client, url, patience })
    }

    pub(super) fn url(&self) -> &Url {
        &self.url
    }

    /// Posts until there is an answer that stands, or patience has run out.
    pub(super) async fn post(&self, line: &Line) -> Answer {
        let started = Instant::now();
        let (mut pause, mut system_errors) = (PAUSE_FIRST, 0);
        loop {
            let reason = match self.attempt(line).await {
                Ok(Answer::Refused(refused)) if refused.status == 500 && system_errors + 1 < SYSTEM_ERROR_ATTEMPTS => {
                    system_errors += 1;
                    refused.detail
                }
                Ok(Answer::Refused(refused)) if matches!(refused.status, 429 | 502 | 503 | 504) => {
                    format!("{} {}", refused.status, refused.detail)
                }
                Ok(answer) => return answer,
                Err(error) => describe(&error),
            };
            let waited = started.elapsed();
            if waited + pause > self.patience.0 {
                return Answer::Unreachable { reason, waited };
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    async fn attempt(&self, line: &Line) -> Result<Answer, reqwest::Error> {
        let mut url = self.url.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(["data", &line.project, &line.resource]);
        }
        let request = self.client.post(url).header(header::CONTENT_TYPE, "application/json").body(line.body.clone());
        let response = request.send().await?;
        let status = response.status();
        // Read in any case: an unread body would cost the connection.
        let body = response.bytes().await?;
        Ok(match status {
            StatusCode::CREATED => Answer::Created,
            status if status.is_success() => Answer::Existing,
            status => Answer::Refused(refusal(status, &body)),
        })
    }
}

fn refusal(status: StatusCode, body: &[u8]) -> Refused {
    let problem: Problem = serde_json::from_slice(body).unwrap_or_default();
    let first_error = problem.errors.into_iter().next();
    let first_validation = problem
        .validation_errors
        .into_iter()
        .find_map(|(path, messages)| messages.into_iter().next().map(|message| format!("{path}: {message}")));
    let detail = first_validation.or(first_error).unwrap_or(problem.detail);
    Refused {
        status: status.as_u16(),
        kind: problem.kind.strip_prefix(PROBLEM_PREFIX).unwrap_or(&problem.kind).to_owned(),
        detail: if detail.is_empty() { problem.title } else { detail },
        answer: String::from_utf8_lossy(body).into_owned(),
    }
}

/// An error of the client with its causes, on one line.
fn describe(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = error.to_string();
        cause = error.source();
    }
    text
}
