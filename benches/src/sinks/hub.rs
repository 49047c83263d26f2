//! The document whose rename changes the most others, and how searches count those that embed its name.

use crate::connection::{Connection, percent};
use crate::setup::Failure;
use millstream_schema::plan::{ColumnType, IdentitySource, Mapping, ResourcePlan};
use millstream_search::SearchModel;
use millstream_store::connect::Session;
use std::collections::BTreeMap;
use uuid::Uuid;

/// Everything that is rebuilt when a document of these types is renamed: what has its identity in its own, at any depth,
/// and what refers to any of that.
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
    /// The member that is given another value.
    pub(super) member: String,
    /// What a rename of it rebuilds, itself among it, with their versions now.
    pub(super) affected: Vec<Affected>,
}

/// A document that embeds the hub's name.
pub(super) struct Affected {
    pub(super) uuid: Uuid,
    pub(super) resource_key: i16,
    pub(super) version: i64,
}

/// The name of a document that a rename changes: a text of its identity that is its own.
fn own_name(resource: &ResourcePlan) -> Option<&str> {
    let mut elements = resource.identity.elements.iter().filter(|_| resource.allow_identity_updates);
    elements.find_map(|element| match element.source {
        IdentitySource::Column { .. } if element.ty == ColumnType::Text => {
            element.path.strip_prefix("$.").filter(|name| !name.contains('.'))
        }
        _ => None,
    })
}

impl Hub {
    /// The one with the most.
    pub(super) async fn find(session: &Session, mapping: &Mapping) -> Result<Self, Failure> {
        let candidates = mapping.iter().filter(|(_, resource)| own_name(resource).is_some());
        let keys: Vec<i16> = candidates.map(|(_, resource)| resource.key).collect();
        let most = format!("{AFFECTED} SELECT hub FROM affected GROUP BY hub ORDER BY count(*) DESC, hub LIMIT 1");
        let hub: i64 = session
            .query_opt(&most, &[&keys, &None::<i64>])
            .await?
            .ok_or("no document of these data can be renamed")?
            .try_get(0)?;
        let row = session
            .query_one(
                r#"SELECT "DocumentUuid", "ResourceKeyId" FROM "dms"."Document" WHERE "DocumentId" = $1"#,
                &[&hub],
            )
            .await?;
        let (uuid, key): (Uuid, i16) = (row.try_get(0)?, row.try_get(1)?);
        let resource = mapping.resource(mapping.by_key(key).ok_or("a document of an unknown type")?);
        let member = own_name(resource).ok_or("this type has no name")?.to_owned();
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

    /// Reads the versions again, after a rename.
    pub(super) async fn refresh(&mut self, session: &Session) -> Result<(), Failure> {
        let ids: Vec<Uuid> = self.affected.iter().map(|one| one.uuid).collect();
        let sql = r#"SELECT "DocumentUuid", "ContentVersion" FROM "dms"."Document" WHERE "DocumentUuid" = ANY($1)"#;
        let mut versions = BTreeMap::new();
        for row in session.query(sql, &[&ids]).await? {
            versions.insert(row.try_get::<_, Uuid>(0)?, row.try_get::<_, i64>(1)?);
        }
        for one in &mut self.affected {
            one.version = *versions.get(&one.uuid).ok_or("a document went away during the measurement")?;
        }
        Ok(())
    }
}

/// How searches count the documents of one type that embed a name.
pub(super) struct Count {
    /// `/search/ed-fi/sections?courseOfferingReference.sessionName=`
    query: String,
    /// How many there are of the hub that is renamed.
    expected: u64,
}

impl Count {
    async fn total(&self, connection: &mut Connection, name: &str) -> Result<u64, Failure> {
        let page = connection.json(&format!("{}{}&limit=0&totalCount=true", self.query, percent(name))).await?;
        page["totalCount"].as_u64().ok_or_else(|| "a search did not count".into())
    }

    /// Whether all of them are found by this name.
    pub(super) async fn is_complete(&self, connection: &mut Connection, name: &str) -> Result<bool, Failure> {
        Ok(self.total(connection, name).await? >= self.expected)
    }
}

/// A search for each type among the affected, by a field that holds the hub's name.
pub(super) async fn counts(
    hub: &Hub,
    model: &SearchModel,
    name: &str,
    connection: &mut Connection,
) -> Result<Vec<Count>, Failure> {
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
            let count = Count { query, expected };
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
