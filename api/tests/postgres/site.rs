//! An API on its own database, with or without the documents of the fixtures.

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use futures::FutureExt;
use http_body_util::BodyExt;
use millstream_api::{Api, ApiOptions, ApiParts, StoreReader, router};
use millstream_pipeline::memory::MemoryBudget;
use millstream_store::load::Caches;
use millstream_testkit::{TestDatabase, World};
use millstream_writer::{Writer, WriterOptions};
use serde_json::Value;
use std::sync::Arc;
use tower::ServiceExt;

/// An API and its database.
pub(crate) struct Site {
    pub(crate) world: &'static World,
    pub(crate) database: TestDatabase,
    pub(crate) router: Router,
}

impl Site {
    /// Creates an API without documents.
    pub(crate) async fn of(world: &'static World) -> Self {
        let database = world.database().await;
        let mapping = Arc::clone(&world.mapping);
        let writer = Writer::new(database.database().clone(), Arc::clone(&mapping), WriterOptions::default());
        let reader = StoreReader::new(
            database.database().clone(),
            Arc::clone(&mapping),
            Arc::new(Caches::default()),
            MemoryBudget::default(),
        );
        let parts = ApiParts {
            mapping,
            reader: Arc::new(reader),
            writer: Arc::new(writer.expect("the schemas compile")),
            probe: Arc::new(|| std::future::ready(Vec::new()).boxed()),
            metrics: Arc::new(String::new),
        };
        Self { world, database, router: router(Api::new(parts, ApiOptions::default())) }
    }

    /// Creates an API with the documents of the fixtures, all posted through it.
    pub(crate) async fn loaded() -> Self {
        let site = Self::of(World::fixtures()).await;
        for document in site.fixture_documents() {
            let path = format!("/data/{}/{}", document.project, document.resource);
            let answer = site.post(&path, document.body()).await;
            assert_eq!(answer.status, StatusCode::CREATED, "{path}: {answer:?}");
        }
        site
    }

    pub(crate) fn fixture_documents(&self) -> Vec<millstream_testkit::corpus::Document> {
        let path = self.world.corpus.root().join("documents.jsonl");
        let documents = millstream_testkit::corpus::read(&path).expect("the file of documents opens");
        documents.map(|document| document.expect("a document a line")).collect()
    }

    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Answer {
        let builder = Request::builder().method(method).uri(path);
        let builder = headers.iter().fold(builder, |builder, (name, value)| builder.header(*name, *value));
        let Ok(response) = self.router.clone().oneshot(builder.body(body.into()).expect("a request")).await;
        let (head, body) = response.into_parts();
        let body = body.collect().await.expect("the body of an answer is whole").to_bytes();
        Answer { status: head.status, headers: head.headers, body }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], Body::empty()).await
    }

    pub(crate) async fn post(&self, path: &str, body: &[u8]) -> Answer {
        self.send("POST", path, &[("content-type", "application/json")], body.to_vec()).await
    }

    pub(crate) async fn put(&self, path: &str, body: &Value) -> Answer {
        self.send("PUT", path, &[("content-type", "application/json")], body.to_string()).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.send("DELETE", path, &[], Body::empty()).await
    }

    /// Returns all documents of a type, as its collection lists them.
    pub(crate) async fn all(&self, collection: &str) -> Vec<Value> {
        let answer = self.get(&format!("{collection}?limit=500")).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        serde_json::from_slice(&answer.body).expect("an array")
    }

    /// Counts the rows of a shared table.
    pub(crate) async fn count(&self, table: &str) -> i64 {
        let sql = format!("SELECT count(*) FROM \"dms\".\"{table}\"");
        self.database.session().await.query_one(&sql, &[]).await.expect("counted").get(0)
    }
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

    pub(crate) fn etag(&self) -> String {
        self.header("etag").expect("an etag").to_owned()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Returns the path of the written document.
    pub(crate) fn location(&self) -> String {
        self.header("location").expect("a location").to_owned()
    }

    #[track_caller]
    pub(crate) fn assert_problem(&self, status: u16, name: &str) -> Value {
        assert_eq!(self.status.as_u16(), status, "{self:?}");
        let problem = self.json();
        assert_eq!(problem["type"], format!("urn:ed-fi:api:{name}"), "{problem}");
        problem
    }
}
