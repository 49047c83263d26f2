//! The document whose rename changes the most others, and searches that count the documents with its name.

use crate::connection::{Connection, percent};
use crate::failure::Failure;
use millstream_schema::plan::{ColumnType, IdentitySource, Mapping, ResourcePlan};
use millstream_search::SearchModel;
use millstream_store::connect::Session;
use std::collections::BTreeMap;
use uuid::Uuid;

/// Selects all documents that a rename of a document of these types rebuilds: its closure, and the referrers of the
/// closure.
const AFFECTED: &str = r#"
WITH RECURSIVE closure(hub, id) AS (
  SELECT "DocumentId", "DocumentId" FROM "dms"."Document" WHERE "ResourceKeyId" = ANY($1) AND ($2::int8 IS NULL OR "DocumentId" = $2)
  UNION SELECT c.hub, e."ParentDocumentId" FROM closure c JOIN "dms"."ReferenceEdge" e ON e."ChildDocumentId" = c.id AND e."IsIdentityComponent"
), affected AS (
  SELECT hub, id FROM closure
  UNION SELECT c.hub, e."ParentDocumentId" FROM closure c JOIN "dms"."ReferenceEdge" e ON e."ChildDocumentId" = c.id
)"#;

/// A document that many others embed.
pub(super) struct Hub {
    pub(super) endpoint: String,
    /// Its path below the API's address.
    pub(super) path: String,
    /// The identity member that is changed.
    pub(super) member: String,
    /// All documents that a rename rebuilds, including the hub, with their current versions.
    pub(super) affected: Vec<Affected>,
}

/// A document that a rename of the hub rebuilds.
pub(super) struct Affected {
    pub(super) uuid: Uuid,
    pub(super) resource_key: i16,
    pub(super) version: i64,
}

/// Returns the identity member that a rename changes: a string that does not come from a reference.
fn name_member(resource: &ResourcePlan) -> Option<&str> {
    let mut elements = resource.identity.elements.iter().filter(|_| resource.allow_identity_updates);
    elements.find_map(|element| match element.source {
        IdentitySource::Column { .. } if element.ty == ColumnType::Text => {
            element.path.strip_prefix("$.").filter(|name| !name.contains('.'))
        }
        _ => None,
    })
}

impl Hub {
    /// Finds the hub with the most affected documents.
    pub(super) async fn find(session: &Session, mapping: &Mapping) -> Result<Self, Failure> {
        let candidates = mapping.iter().filter(|(_, resource)| name_member(resource).is_some());
        let keys: Vec<i16> = candidates.map(|(_, resource)| resource.key).collect();
        let most = format!("{AFFECTED} SELECT hub FROM affected GROUP BY hub ORDER BY count(*) DESC, hub LIMIT 1");
        let hub: i64 = session
            .query_opt(&most, &[&keys, &None::<i64>])
            .await?
            .ok_or("no document in this data can be renamed")?
            .try_get(0)?;
        let row = session
            .query_one(
                r#"SELECT "DocumentUuid", "ResourceKeyId" FROM "dms"."Document" WHERE "DocumentId" = $1"#,
                &[&hub],
            )
            .await?;
        let (uuid, key): (Uuid, i16) = (row.try_get(0)?, row.try_get(1)?);
        let resource = mapping.resource(mapping.by_key(key).ok_or("a document of an unknown type")?);
        let member = name_member(resource).ok_or("the type has no member to rename")?.to_owned();
        let path = format!("/data/{}/{}/{uuid}", resource.project_endpoint, resource.endpoint);
        let mut hub = Self { endpoint: resource.endpoint.clone(), path, member, affected: Vec::new() };
        hub.affected = hub.read_affected(session, uuid, key).await?;
        Ok(hub)
    }

    async fn read_affected(&self, session: &Session, uuid: Uuid, key: i16) -> Result<Vec<Affected>, Failure> {
        let sql = format!(
            r#"{AFFECTED} SELECT d."DocumentUuid", d."ResourceKeyId", d."ContentVersion" FROM affected a JOIN "dms"."Document" d ON d."DocumentId" = a.id"#
        );
        let id: i64 = session
            .query_one(r#"SELECT "DocumentId" FROM "dms"."Document" WHERE "DocumentUuid" = $1"#, &[&uuid])
            .await?
            .try_get(0)?;
        let rows = session.query(&sql, &[&vec![key], &Some(id)]).await?;
        let affected = rows
            .iter()
            .map(|row| Ok(Affected { uuid: row.try_get(0)?, resource_key: row.try_get(1)?, version: row.try_get(2)? }));
        affected.collect()
    }

    /// Reads the versions again after a rename.
    pub(super) async fn refresh(&mut self, session: &Session) -> Result<(), Failure> {
        let ids: Vec<Uuid> = self.affected.iter().map(|one| one.uuid).collect();
        let sql = r#"SELECT "DocumentUuid", "ContentVersion" FROM "dms"."Document" WHERE "DocumentUuid" = ANY($1)"#;
        let mut versions = BTreeMap::new();
        for row in session.query(sql, &[&ids]).await? {
            versions.insert(row.try_get::<_, Uuid>(0)?, row.try_get::<_, i64>(1)?);
        }
        for one in &mut self.affected {
            one.version = *versions.get(&one.uuid).ok_or("a document disappeared during the measurement")?;
        }
        Ok(())
    }
}

/// A search that counts the documents of one type with a name.
pub(super) struct CountSearch {
    /// Query without the value, such as `/search/ed-fi/sections?courseOfferingReference.sessionName=`.
    query: String,
    /// Number of documents with the name of the hub.
    expected: u64,
}

impl CountSearch {
    async fn total(&self, connection: &mut Connection, name: &str) -> Result<u64, Failure> {
        let page = connection.json(&format!("{}{}&limit=0&totalCount=true", self.query, percent(name))).await?;
        page["totalCount"].as_u64().ok_or_else(|| "a search returned no total count".into())
    }

    /// Returns whether the search finds all documents by this name.
    pub(super) async fn is_complete(&self, connection: &mut Connection, name: &str) -> Result<bool, Failure> {
        Ok(self.total(connection, name).await? >= self.expected)
    }
}

/// Returns a search for each affected type, by a field that holds the name of the hub.
pub(super) async fn count_searches(
    hub: &Hub,
    model: &SearchModel,
    name: &str,
    connection: &mut Connection,
) -> Result<Vec<CountSearch>, Failure> {
    let mut by_type: BTreeMap<i16, u64> = BTreeMap::new();
    hub.affected.iter().for_each(|one| *by_type.entry(one.resource_key).or_default() += 1);
    let mut counts = Vec::new();
    for (key, expected) in by_type {
        let resource = model.by_key(key).ok_or("a document of an unknown type")?;
        let leaf = |path: &str| path.rsplit('.').next() == Some(hub.member.as_str());
        let fields = resource.fields.iter().filter(|field| leaf(&field.path)).map(|field| field.path.as_str());
        let names = resource.named(&hub.member).map(|_| hub.member.as_str()).into_iter().chain(fields);
        let mut found = None;
        for field in names {
            let query = format!("/search/{}/{}?{field}=", resource.project_endpoint, resource.endpoint);
            let count = CountSearch { query, expected };
            if count.is_complete(connection, name).await? {
                found = Some(count);
                break;
            }
        }
        let endpoint = &resource.endpoint;
        counts.push(found.ok_or_else(|| format!("no field of {endpoint} finds {expected} documents by \"{name}\""))?);
    }
    Ok(counts)
}
