//! Loading documents over HTTP, and the account of what was answered.

use super::http::{Http, Reply};
use super::say;
use futures::stream::{self, StreamExt};
use millstream_schema::plan::Mapping;
use millstream_testkit::corpus::Document;
use std::time::Instant;
use uuid::Uuid;

/// Requests in flight.
const SIDE_BY_SIDE: usize = 8;

/// A document that was accepted.
#[derive(Debug, Clone)]
pub(crate) struct Accepted {
    pub(crate) document: Document,
    pub(crate) uuid: Uuid,
    pub(crate) etag: i64,
    pub(crate) status: u16,
}

impl Accepted {
    /// Where it is, below `/data`.
    pub(crate) fn path(&self) -> String {
        format!("{}/{}/{}", self.document.project, self.document.resource, self.uuid)
    }
}

/// Posts documents in dependency order, those of one type side by side. Fails on the first refusal.
pub(crate) async fn load(http: &Http, mapping: &Mapping, documents: &[Document]) -> Vec<Accepted> {
    let started = Instant::now();
    let mut accepted = Vec::with_capacity(documents.len());
    for run in documents.chunk_by(|a, b| (&a.project, &a.resource) == (&b.project, &b.resource)) {
        let width = if refers_to_its_own_kind(mapping, &run[0]) { 1 } else { SIDE_BY_SIDE };
        let posts = stream::iter(run).map(|document| post(http, document));
        // In the order of the file, so that two accounts of it can be laid side by side.
        accepted.extend(posts.buffered(width).collect::<Vec<_>>().await);
    }
    let seconds = started.elapsed().as_secs_f64();
    say!("posted {} documents in {seconds:.1} s, {:.0}/s", accepted.len(), accepted.len() as f64 / seconds);
    accepted
}

/// Whether a document may refer to another of the same run.
fn refers_to_its_own_kind(mapping: &Mapping, document: &Document) -> bool {
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
        panic!("{path} refused: {reply:?}\n{}", String::from_utf8_lossy(document.body()));
    };
    Accepted { document: document.clone(), uuid, etag, status }
}
