//! Loads documents over HTTP and records the responses.

use super::http::{Http, Reply};
use super::report;
use futures::stream::{self, StreamExt};
use millstream_schema::plan::Mapping;
use millstream_testkit::corpus::Document;
use std::time::Instant;
use uuid::Uuid;

/// Requests in flight.
const IN_FLIGHT: usize = 8;

/// An accepted document with its id and version.
#[derive(Debug, Clone)]
pub(crate) struct Accepted {
    pub(crate) document: Document,
    pub(crate) uuid: Uuid,
    pub(crate) etag: i64,
    pub(crate) status: u16,
}

impl Accepted {
    /// Returns the path below `/data`.
    pub(crate) fn path(&self) -> String {
        format!("{}/{}/{}", self.document.project, self.document.resource, self.uuid)
    }
}

/// Posts documents in dependency order, with documents of one type in parallel. Fails on the first refusal.
pub(crate) async fn load(http: &Http, mapping: &Mapping, documents: &[Document]) -> Vec<Accepted> {
    let started = Instant::now();
    let mut accepted = Vec::with_capacity(documents.len());
    for run in documents.chunk_by(|a, b| (&a.project, &a.resource) == (&b.project, &b.resource)) {
        let width = if refers_to_own_type(mapping, &run[0]) { 1 } else { IN_FLIGHT };
        let posts = stream::iter(run).map(|document| post(http, document));
        // In the order of the file, so that the results of two loads can be compared.
        accepted.extend(posts.buffered(width).collect::<Vec<_>>().await);
    }
    let seconds = started.elapsed().as_secs_f64();
    report!("posted {} documents in {seconds:.1} s, {:.0}/s", accepted.len(), accepted.len() as f64 / seconds);
    accepted
}

/// Returns whether a document may refer to another one of its type.
fn refers_to_own_type(mapping: &Mapping, document: &Document) -> bool {
    let resource = mapping.route(&document.project, &document.resource).expect("a known endpoint");
    let plan = mapping.resource(resource);
    let superclass = plan.identity.superclass.as_ref().map(|superclass| superclass.key);
    plan.references.iter().any(|site| site.target_key == plan.key || Some(site.target_key) == superclass)
}

async fn post(http: &Http, document: &Document) -> Accepted {
    let path = format!("{}/{}", document.project, document.resource);
    let body = document.body().to_vec();
    let reply = http.post(&path, body).await;
    let Reply { status: status @ (200 | 201), etag: Some(etag), id: Some(uuid), .. } = reply else {
        panic!("{path} was refused: {reply:?}\n{}", String::from_utf8_lossy(document.body()));
    };
    Accepted { document: document.clone(), uuid, etag, status }
}
