//! A reader and a writer that tests control, and requests to them.

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Request, StatusCode, header};
use futures::FutureExt;
use futures::future::BoxFuture;
use http_body_util::BodyExt;
use millstream_api::problem::ProblemKind;
use millstream_api::{Api, ApiOptions, ApiParts, Check, DocumentReader, DocumentWriter, Extras, router};
use millstream_schema::plan::ResourceIx;
use millstream_store::query::QueryRequest;
use millstream_store::read::{Page, ReadDocument, ReadError};
use millstream_testkit::World;
use millstream_writer::{Outcome, Preconditions, WriteError, Written};
use serde_json::Value;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Semaphore;
use tower::ServiceExt;
use uuid::Uuid;

/// Longer than any wait takes.
pub(crate) const SOON: Duration = Duration::from_secs(10);

pub(crate) const ID: Uuid = Uuid::from_u128(0x0420_a54c_16df_4fff_8f48_d87d_35e7_1fe7);

/// One call that reached the writer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Call {
    Post { resource: String, body: Bytes, when: Preconditions },
    Put { resource: String, uuid: Uuid, body: Bytes, when: Preconditions },
    Delete { resource: String, uuid: Uuid, when: Preconditions },
}

type WriteAnswer = dyn Fn(&Call) -> BoxFuture<'static, Result<Written, WriteError>> + Send + Sync;
type GetAnswer = dyn Fn(Uuid) -> Result<Option<ReadDocument>, ReadError> + Send + Sync;
type PageAnswer = dyn Fn(&QueryRequest) -> Result<Page, ReadError> + Send + Sync;

/// The behaviour of a fake API, and the calls that it received.
pub(crate) struct Fake {
    pub(crate) write: Box<WriteAnswer>,
    pub(crate) get: Box<GetAnswer>,
    pub(crate) page: Box<PageAnswer>,
    pub(crate) ready: bool,
    pub(crate) options: ApiOptions,
    pub(crate) extras: Extras,
}

impl Default for Fake {
    /// Creates a store with one document, `ID` at version 7. Every write changes it to version 8; a POST creates it.
    fn default() -> Self {
        Self {
            write: Box::new(|call| {
                let outcome = match call {
                    Call::Post { .. } => Outcome::Created,
                    Call::Put { .. } => Outcome::Updated,
                    Call::Delete { .. } => Outcome::Deleted,
                };
                std::future::ready(Ok(written(outcome))).boxed()
            }),
            get: Box::new(|uuid| Ok((uuid == ID).then(|| document(ID, 7)))),
            page: Box::new(|_| Ok(Page::default())),
            ready: true,
            options: ApiOptions::default(),
            extras: Extras::default(),
        }
    }
}

impl Fake {
    /// Makes every write fail with this error.
    pub(crate) fn refusing(error: impl Fn() -> WriteError + Send + Sync + 'static) -> Self {
        Self { write: Box::new(move |_| std::future::ready(Err(error())).boxed()), ..Self::default() }
    }

    pub(crate) fn start(self) -> Started {
        let calls = Arc::new(Mutex::new(Vec::new()));
        let queries = Arc::new(Mutex::new(Vec::new()));
        let checks = vec![Check { name: "database", ok: self.ready, detail: (!self.ready).then(|| "gone".to_owned()) }];
        let parts = ApiParts {
            mapping: Arc::clone(&World::fixtures().mapping),
            reader: Arc::new(Reader { get: self.get, page: self.page, queries: Arc::clone(&queries) }),
            writer: Arc::new(Recorder { answer: self.write, calls: Arc::clone(&calls) }),
            probe: Arc::new(move || std::future::ready(checks.clone()).boxed()),
            metrics: Arc::new(|| "millstream_up 1\n".to_owned()),
        };
        let api = Api::with(parts, self.extras, self.options);
        Started { router: router(api.clone()), api, calls, queries }
    }
}

/// A running fake.
#[derive(Clone)]
pub(crate) struct Started {
    pub(crate) router: Router,
    pub(crate) api: Api,
    pub(crate) calls: Arc<Mutex<Vec<Call>>>,
    pub(crate) queries: Arc<Mutex<Vec<QueryRequest>>>,
}

impl Started {
    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let Ok(response) = self.router.clone().oneshot(request).await;
        let (head, body) = response.into_parts();
        let body = body.collect().await.expect("the body of an answer is whole").to_bytes();
        Answer { status: head.status, headers: head.headers, body }
    }

    /// Sends a request without a body.
    pub(crate) async fn ask(&self, method: &str, path: &str) -> Answer {
        self.send(request(method, path, &[], Body::empty())).await
    }

    pub(crate) fn calls(&self) -> Vec<Call> {
        self.calls.lock().expect("no test panics here").clone()
    }

    pub(crate) fn queries(&self) -> Vec<QueryRequest> {
        self.queries.lock().expect("no test panics here").clone()
    }
}

/// A request. Without another `content-type` in `headers`, POST and PUT declare JSON.
pub(crate) fn request(method: &str, path: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Request<Body> {
    let mut builder = Request::builder().method(method).uri(path);
    if matches!(method, "POST" | "PUT") && headers.iter().all(|(name, _)| *name != "content-type") {
        builder = builder.header("content-type", "application/json");
    }
    headers
        .iter()
        .fold(builder, |builder, (name, value)| builder.header(*name, *value))
        .body(body.into())
        .expect("a request")
}

/// A response.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("headers are ASCII"))
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Asserts that the response is a complete problem document of this kind, and returns it.
    #[track_caller]
    pub(crate) fn problem(&self, kind: ProblemKind) -> Value {
        assert_eq!(self.status, kind.status(), "{self:?}");
        assert_eq!(self.header(header::CONTENT_TYPE.as_str()), Some("application/problem+json"));
        let problem = self.json();
        let members: Vec<&String> = problem.as_object().expect("an object").keys().collect();
        assert_eq!(members, ["detail", "type", "title", "status", "correlationId", "validationErrors", "errors"]);
        assert_eq!(problem["type"], kind.urn());
        assert_eq!(problem["title"], kind.title());
        assert_eq!(problem["status"].as_u64(), Some(u64::from(kind.status().as_u16())));
        assert!(!problem["detail"].as_str().expect("a text").is_empty());
        assert!(problem["correlationId"].as_str().is_some_and(|id| Uuid::try_parse(id).is_ok()));
        assert!(problem["validationErrors"].is_object() && problem["errors"].is_array());
        problem
    }
}

pub(crate) fn written(outcome: Outcome) -> Written {
    Written { outcome, uuid: ID, version: 8 }
}

pub(crate) fn document(uuid: Uuid, version: i64) -> ReadDocument {
    ReadDocument {
        uuid,
        version,
        last_modified: "2031-08-20T09:15:00Z".parse().expect("a timestamp"),
        body: Bytes::from_static(br#"{"studentUniqueId":"S-7001","weight": 1.10}"#),
        from_cache: true,
        memory: None,
    }
}

/// A fake whose writes each wait for a permit of the gate and are counted when they have ended.
pub(crate) fn gated(options: ApiOptions) -> (Fake, Arc<Semaphore>, Arc<AtomicUsize>) {
    let (gate, ended) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicUsize::new(0)));
    let (gate_of_writes, ended_writes) = (Arc::clone(&gate), Arc::clone(&ended));
    let write = Box::new(move |_: &Call| {
        let (gate, ended) = (Arc::clone(&gate_of_writes), Arc::clone(&ended_writes));
        async move {
            gate.acquire().await.expect("the gate stays").forget();
            ended.fetch_add(1, Ordering::SeqCst);
            Ok(written(Outcome::Created))
        }
        .boxed()
    });
    (Fake { write, options, ..Fake::default() }, gate, ended)
}

struct Recorder {
    answer: Box<WriteAnswer>,
    calls: Arc<Mutex<Vec<Call>>>,
}

impl Recorder {
    fn call(&self, call: Call) -> BoxFuture<'_, Result<Written, WriteError>> {
        let answer = (self.answer)(&call);
        self.calls.lock().expect("no test panics here").push(call);
        answer
    }
}

fn name(resource: ResourceIx) -> String {
    World::fixtures().mapping.resource(resource).endpoint.clone()
}

impl DocumentWriter for Recorder {
    fn post(
        &self,
        resource: ResourceIx,
        body: Bytes,
        when: Preconditions,
    ) -> BoxFuture<'_, Result<Written, WriteError>> {
        self.call(Call::Post { resource: name(resource), body, when })
    }

    fn put(
        &self,
        resource: ResourceIx,
        uuid: Uuid,
        body: Bytes,
        when: Preconditions,
    ) -> BoxFuture<'_, Result<Written, WriteError>> {
        self.call(Call::Put { resource: name(resource), uuid, body, when })
    }

    fn delete(
        &self,
        resource: ResourceIx,
        uuid: Uuid,
        when: Preconditions,
    ) -> BoxFuture<'_, Result<Written, WriteError>> {
        self.call(Call::Delete { resource: name(resource), uuid, when })
    }
}

struct Reader {
    get: Box<GetAnswer>,
    page: Box<PageAnswer>,
    queries: Arc<Mutex<Vec<QueryRequest>>>,
}

impl DocumentReader for Reader {
    fn get(&self, _: ResourceIx, uuid: Uuid) -> BoxFuture<'_, Result<Option<ReadDocument>, ReadError>> {
        std::future::ready((self.get)(uuid)).boxed()
    }

    fn page<'a>(&'a self, _: ResourceIx, request: &'a QueryRequest) -> BoxFuture<'a, Result<Page, ReadError>> {
        self.queries.lock().expect("no test panics here").push(request.clone());
        std::future::ready((self.page)(request)).boxed()
    }
}
