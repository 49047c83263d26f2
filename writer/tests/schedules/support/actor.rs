//! A client with its own connections, which the scheduler identifies by name.

use super::documents::{Act, Doc, Documents};
use super::fixture::{Fixture, bytes, put, writers};
use super::scheduler::application_name;
use millstream_pipeline::memory::MemoryBudget;
use millstream_schema::plan::{Mapping, ResourceIx};
use millstream_store::connect::Database;
use millstream_store::load::Caches;
use millstream_store::read;
use millstream_writer::{EtagMatch, Preconditions, WriteError, Writer, Written};
use serde_json::{Value, json};
use std::sync::Arc;
use uuid::Uuid;

/// Connections of an actor, which performs one request at a time.
const POOL_SIZE: usize = 2;
/// Maximum number of repetitions of a write that is refused because of a concurrent write.
const RETRIES: u32 = 20;

/// A client. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Actor {
    pub(crate) name: &'static str,
    /// Writer that stamps referrers in the renaming transaction.
    pub(crate) strict: Writer,
    /// Writer that opens a cascade for any referrer.
    pub(crate) cascading: Writer,
    pub(crate) database: Database,
    mapping: Arc<Mapping>,
    caches: Arc<Caches>,
}

impl Actor {
    pub(crate) async fn new(fixture: &Fixture, name: &'static str) -> Self {
        let options = fixture.test_database().options().clone().with_application_name(&application_name(name));
        let database = Database::connect(&options, POOL_SIZE).await.expect("an actor connects");
        let [strict, cascading] = writers(&database, &fixture.mapping);
        Self { name, strict, cascading, database, mapping: Arc::clone(&fixture.mapping), caches: Arc::default() }
    }

    pub(crate) fn resource(&self, endpoint: &str) -> ResourceIx {
        let mut projects = self.mapping.routes.values();
        *projects.find_map(|routes| routes.get(&endpoint.to_lowercase())).expect("an endpoint")
    }

    /// Sends a POST through the strict writer.
    pub(crate) async fn post(self, endpoint: &'static str, body: Value) -> Result<Written, WriteError> {
        self.strict.post(self.resource(endpoint), &bytes(&body), &Preconditions::default()).await
    }

    /// Sends a PUT through the strict writer.
    pub(crate) async fn put(self, endpoint: &'static str, id: Uuid, body: Value) -> Result<Written, WriteError> {
        put(&self.strict, self.resource(endpoint), id, body, &Preconditions::default()).await
    }

    /// Sends a DELETE.
    pub(crate) async fn delete(self, endpoint: &'static str, id: Uuid) -> Result<Written, WriteError> {
        self.strict.delete(self.resource(endpoint), id, &Preconditions::default()).await
    }

    /// Performs an act as a client does: reads, changes the body, writes it, and starts again if a name or a version is
    /// outdated.
    pub(crate) async fn act(self, documents: Documents, act: Act) -> Result<Written, WriteError> {
        let mut left = RETRIES;
        loop {
            match self.attempt(&documents, act).await {
                Err(WriteError::UnresolvedReference { .. } | WriteError::PreconditionFailed) if left > 0 => left -= 1,
                Ok(written) => {
                    self.read_back(&written, act).await;
                    return Ok(written);
                }
                refused => return refused,
            }
        }
    }

    async fn attempt(&self, documents: &Documents, act: Act) -> Result<Written, WriteError> {
        let writer = if matches!(act, Act::RenameStrict(_)) { &self.strict } else { &self.cascading };
        let doc = match act {
            Act::Insert => return self.insert(documents).await,
            Act::Delete(doc) => return self.clone().delete(doc.endpoint(), documents.id(doc)).await,
            Act::PointToSpoke => Doc::R,
            Act::Rename(doc) | Act::RenameStrict(doc) | Act::Edit(doc) | Act::Point(doc, _) => doc,
        };
        let (version, mut body) = self.body(documents, doc).await.ok_or(WriteError::NotFound)?;
        body["note"] = json!(format!("{} did {act:?}", self.name));
        match (act, doc) {
            (Act::Rename(_) | Act::RenameStrict(_), Doc::H | Doc::G) => rename(&mut body, "hubName"),
            (Act::Rename(_) | Act::RenameStrict(_), Doc::M) => rename(&mut body, "spokeName"),
            (Act::Point(_, to), Doc::M) => body["hubReference"] = self.hub_reference(documents, to).await?,
            (Act::Point(_, to), _) => body["firstHubReference"] = self.hub_reference(documents, to).await?,
            (Act::PointToSpoke, _) => {
                body["firstHubReference"] = Value::Null;
                body["spokeReference"] = self.spoke_reference(documents).await?;
            }
            _ => {}
        }
        // Writing a hub or a spoke under an old name would rename it back, so If-Match guards it. A rim needs no guard.
        let if_match = (doc.endpoint() != "rims").then_some(EtagMatch::Versions(vec![version]));
        let when = Preconditions { if_match, if_none_match: None };
        put(writer, self.resource(doc.endpoint()), documents.id(doc), body, &when).await
    }

    async fn insert(&self, documents: &Documents) -> Result<Written, WriteError> {
        let body = json!({"rimId": format!("{} by {}", documents.tag, self.name),
                          "spokeReference": self.spoke_reference(documents).await?});
        self.clone().post("rims", body).await
    }

    async fn hub_reference(&self, documents: &Documents, hub: Doc) -> Result<Value, WriteError> {
        let (_, body) = self.body(documents, hub).await.ok_or(WriteError::NotFound)?;
        Ok(json!({"hubName": body["hubName"]}))
    }

    async fn spoke_reference(&self, documents: &Documents) -> Result<Value, WriteError> {
        let (_, body) = self.body(documents, Doc::M).await.ok_or(WriteError::NotFound)?;
        Ok(json!({"hubName": body["hubReference"]["hubName"], "spokeName": body["spokeName"]}))
    }

    async fn body(&self, documents: &Documents, doc: Doc) -> Option<(i64, Value)> {
        let resource = self.resource(doc.endpoint());
        let read = read::get(
            &self.database,
            &self.mapping,
            &self.caches,
            &MemoryBudget::default(),
            resource,
            documents.id(doc),
        )
        .await;
        let read = read.unwrap_or_else(|error| panic!("{doc:?} cannot be read: {error:?}"))?;
        Some((read.version, serde_json::from_slice(&read.body).expect("a body is JSON")))
    }

    /// Checks that a read after the response returns the answered version or a later one (FRESH).
    async fn read_back(&self, written: &Written, act: Act) {
        let sql = format!(
            r#"SELECT {} FROM "dms"."Document" d WHERE d."DocumentUuid" = $1"#,
            millstream_store::version::effective_version("d")
        );
        let client = self.database.get().await.expect("a connection");
        let row = client.query_opt(&sql, &[&written.uuid]).await.expect("versions can be read");
        match row.map(|row| row.get::<_, i64>(0)) {
            Some(version) => assert!(version >= written.version, "{act:?} made {written:?}, read {version} (FRESH)"),
            None => {
                let sql = r#"SELECT "ContentVersion" FROM "dms"."Tombstone" WHERE "DocumentUuid" = $1"#;
                let version: i64 = client.query_one(sql, &[&written.uuid]).await.expect("a tombstone").get(0);
                assert!(version >= written.version, "{act:?} made {written:?}, its tombstone says {version}");
            }
        }
    }
}

fn rename(body: &mut Value, member: &str) {
    let name = body[member].as_str().expect("a name").to_owned();
    body[member] = json!(format!("{name}'"));
}
