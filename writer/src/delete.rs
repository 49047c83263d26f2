//! DELETE: the foreign keys decide; a tombstone and an outbox row with a version above every one served stay behind.

use crate::attempt::AttemptError;
use crate::error::WriteError;
use crate::locked::{DRAW_VERSION, READ_EDGES, abandon, check_preconditions, first_value, locked_ids, read_edges};
use crate::persist;
use crate::request::{Outcome, Preconditions, Written};
use crate::resolve::{Own, Resolved, Subject, add_resolution};
use crate::transaction::{Session, params, share_locks};
use millstream_pipeline::{ChangeKind, NewChange};
use millstream_schema::plan::{Mapping, ResourcePlan};
use millstream_store::connect::Database;
use millstream_store::error::ErrorKind;
use uuid::Uuid;

const LOCK_FOR_DELETE: &str = r#"SELECT 1 FROM "dms"."Document" WHERE "DocumentId" = $1 FOR UPDATE"#;
const TOMBSTONE: &str = r#"INSERT INTO "dms"."Tombstone" ("DocumentUuid", "DocumentId", "ResourceKeyId", "ContentVersion", "IdentityValues", "DeletedAt") VALUES ($1, $2, $3, $4, $5, now())"#;
const DELETE_DOCUMENT: &str = r#"DELETE FROM "dms"."Document" WHERE "DocumentId" = $1"#;
const REFERRING_TYPES: &str = r#"SELECT k."ResourceName" FROM "dms"."ReferenceEdge" e JOIN "dms"."Document" d ON d."DocumentId" = e."ParentDocumentId" JOIN "dms"."ResourceKey" k ON k."ResourceKeyId" = d."ResourceKeyId" WHERE e."ChildDocumentId" = $1 AND e."ParentDocumentId" <> $1 GROUP BY k."ProjectName", k."ResourceName" ORDER BY k."ProjectName", k."ResourceName""#;

/// A DELETE by id.
pub(crate) struct Delete<'a> {
    pub(crate) database: &'a Database,
    pub(crate) mapping: &'a Mapping,
    pub(crate) resource: &'a ResourcePlan,
    pub(crate) uuid: Uuid,
    pub(crate) preconditions: &'a Preconditions,
}

impl Delete<'_> {
    /// One attempt at the whole delete.
    pub(crate) async fn attempt(&self) -> Result<Written, AttemptError> {
        let mut session = Session::open(self.database).await?;
        let mut pipeline = session.pipeline()?;
        let place = add_resolution(&mut pipeline, &[], Subject::Uuid(self.uuid));
        let resolved = Resolved::read(&pipeline.run().await?[place])?;
        let document_id = self.admit(resolved.own.as_ref())?.document_id;

        let mut pipeline = session.begin()?;
        let shares = self.resource.changeable || self.resource.references.iter().any(|site| site.target_changeable);
        let share = shares.then(|| share_locks(&mut pipeline, Vec::new(), Some(document_id), true));
        let row = pipeline.add(LOCK_FOR_DELETE, params![document_id]);
        let edges = pipeline.add(READ_EDGES, params![document_id]);
        let resolution = add_resolution(&mut pipeline, &[], Subject::Uuid(self.uuid));
        let draw = pipeline.add(DRAW_VERSION, Vec::new());
        let answers = match pipeline.run().await {
            Ok(answers) => answers,
            Err(error) => return abandon(session, error).await,
        };
        if answers[row].is_empty() {
            return abandon(session, WriteError::NotFound).await;
        }
        let locked = locked_ids(share.map(|at| &answers[at]))?;
        let (edges, changeable) = read_edges(&answers[edges])?;
        if !changeable.iter().all(|id| locked.contains(id)) {
            return abandon(session, AttemptError::StartOver("a reference changed while it was being locked")).await;
        }
        let resolved = Resolved::read(&answers[resolution])?;
        let own = match self.admit(resolved.own.as_ref()) {
            Ok(own) => own.clone(),
            Err(error) => return abandon(session, error).await,
        };
        let refers_to_itself = edges.contains_key(&document_id);
        self.remove(session, own, first_value(&answers[draw])?, refers_to_itself).await
    }

    fn admit<'o>(&self, own: Option<&'o Own>) -> Result<&'o Own, WriteError> {
        let own = own.filter(|own| own.key == self.resource.key);
        check_preconditions(self.preconditions, own.map(|own| own.effective_version))?;
        own.ok_or(WriteError::NotFound)
    }

    async fn remove(
        &self,
        session: Session,
        own: Own,
        version: i64,
        refers_to_itself: bool,
    ) -> Result<Written, AttemptError> {
        let (document_id, key) = (own.document_id, self.resource.key);
        let mut pipeline = session.pipeline()?;
        if refers_to_itself {
            // Its own rows would hold it: PostgreSQL may check a foreign key before the cascade has come to them.
            for table in self.resource.tables.iter().rev() {
                pipeline.add(&*table.delete_sql, params![vec![document_id]]);
            }
        }
        pipeline.add(DELETE_DOCUMENT, params![document_id]);
        pipeline.add(TOMBSTONE, params![self.uuid, document_id, key, version, own.identity_values]);
        let change = NewChange {
            document_id,
            document_uuid: self.uuid,
            resource_key: key,
            kind: ChangeKind::Delete,
            content_version: version,
        };
        persist::add_outbox(&mut pipeline, &[change]);
        pipeline.add("COMMIT", Vec::new());
        match pipeline.run().await {
            Ok(_) => {
                session.committed();
                Ok(Written { outcome: Outcome::Deleted, uuid: self.uuid, version })
            }
            Err(error) if matches!(error.kind(), ErrorKind::ForeignKeyViolation { .. }) => {
                // Gives the connection back before the referring types are looked up.
                let refused: Result<Written, AttemptError> = abandon(session, error).await;
                match refused {
                    Ok(written) => Ok(written),
                    Err(_) => self.refuse(document_id).await,
                }
            }
            Err(error) => abandon(session, error).await,
        }
    }

    /// Names every type that refers to the document
    /// (docs/design/edfi-api.md#edfi-6.8). If there is none any more, the delete is tried again.
    async fn refuse(&self, document_id: i64) -> Result<Written, AttemptError> {
        let client = self.database.get().await?;
        let rows = if self.resource.is_descriptor {
            let uses: Vec<String> = self.descriptor_uses(document_id).collect();
            if uses.is_empty() { Vec::new() } else { client.query(&uses.join(" UNION ALL "), &[]).await? }
        } else {
            client.query(REFERRING_TYPES, &[&document_id]).await?
        };
        let mut resources: Vec<String> = rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
        resources.dedup();
        match resources.is_empty() {
            true => Err(AttemptError::StartOver("the referring document was deleted meanwhile")),
            false => Err(WriteError::DependentItemExists { resources }.into()),
        }
    }

    /// One `EXISTS` for each compiled descriptor column of this type
    /// (docs/design/rules.md#rule-14): descriptors have no edges.
    fn descriptor_uses(&self, document_id: i64) -> impl Iterator<Item = String> {
        let mut resources: Vec<&ResourcePlan> = self.mapping.resources.iter().collect();
        resources.sort_by_key(|r| (&r.project_name, &r.resource_name));
        let sites = resources.into_iter().flat_map(|r| r.descriptors.iter().map(move |site| (r, site)));
        let key = self.resource.key;
        sites.filter(move |(_, site)| site.target_key == key).map(move |(resource, site)| {
            let table = &resource.tables[site.table];
            let column = table.columns[site.column].name.replace('"', "\"\"");
            let name = resource.resource_name.replace('\'', "''");
            format!(
                "SELECT '{name}'::text WHERE EXISTS (SELECT 1 FROM {} WHERE \"{column}\" = {document_id})",
                table.qualified
            )
        })
    }
}
