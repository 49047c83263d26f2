//! DELETE: the foreign keys decide; a tombstone and an outbox row remain, with a version above every one served before.

use crate::attempt::{AttemptError, abandon};
use crate::error::WriteError;
use crate::references::{References, locked_ids};
use crate::request::{Outcome, Preconditions, Written};
use crate::resolve::{CurrentRow, Resolved};
use millstream_pipeline::{ChangeKind, NewChange};
use millstream_schema::plan::{Mapping, ResourcePlan};
use millstream_store::connect::Database;
use millstream_store::error::ErrorKind;
use millstream_store::table::resolution::{Subject, resolve};
use millstream_store::table::tombstone::NewTombstone;
use millstream_store::table::{document, edge, query, sequence, tombstone};
use millstream_store::transaction::{WriteTransaction, param, share_locks};
use uuid::Uuid;

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
        let mut transaction = WriteTransaction::open(self.database).await?;
        let mut pipeline = transaction.pipeline()?;
        let resolution = resolve(&mut pipeline, [], [Subject::Uuid(self.uuid)]);
        let resolved = Resolved::new(pipeline.run().await?.rows(resolution)?)?;
        let document_id = self.admit(resolved.current.as_ref())?.document_id;

        let mut pipeline = transaction.begin()?;
        let shares = self.resource.changeable || self.resource.references.iter().any(|site| site.target_changeable);
        let share = shares.then(|| share_locks(&mut pipeline, Vec::new(), vec![document_id], true));
        let row = document::lock_for_delete(&mut pipeline, document_id);
        let edges = edge::children(&mut pipeline, vec![document_id]);
        let resolution = resolve(&mut pipeline, [], [Subject::Uuid(self.uuid)]);
        let draw = sequence::draw_version(&mut pipeline);
        let answers = match pipeline.run().await {
            Ok(answers) => answers,
            Err(error) => return abandon(transaction, error).await,
        };
        if answers.count(row) == 0 {
            return abandon(transaction, WriteError::NotFound).await;
        }
        let locked = locked_ids(&answers, share)?;
        let References { edges, changeable } = References::of(&answers.rows(edges)?);
        if !changeable.iter().all(|id| locked.contains(id)) {
            return abandon(transaction, AttemptError::StartOver("a reference changed while it was being locked"))
                .await;
        }
        let resolved = Resolved::new(answers.rows(resolution)?)?;
        let current = match self.admit(resolved.current.as_ref()) {
            Ok(current) => current.clone(),
            Err(error) => return abandon(transaction, error).await,
        };
        let refers_to_itself = edges.contains_key(&document_id);
        self.remove(transaction, current, answers.one(draw)?.version, refers_to_itself).await
    }

    fn admit<'o>(&self, current: Option<&'o CurrentRow>) -> Result<&'o CurrentRow, WriteError> {
        let current = current.filter(|current| current.key == self.resource.key);
        self.preconditions.check(current.map(|current| current.effective_version))?;
        current.ok_or(WriteError::NotFound)
    }

    async fn remove(
        &self,
        transaction: WriteTransaction,
        current: CurrentRow,
        version: i64,
        refers_to_itself: bool,
    ) -> Result<Written, AttemptError> {
        let (document_id, key) = (current.document_id, self.resource.key);
        let mut pipeline = transaction.pipeline()?;
        if refers_to_itself {
            // Its own rows would hold it: PostgreSQL may check a foreign key before the cascade has come to them.
            for table in self.resource.tables.iter().rev() {
                pipeline.execute(table.delete_sql.to_string(), vec![param(vec![document_id])]);
            }
        }
        document::delete(&mut pipeline, document_id);
        let identity_values = current.identity_values;
        tombstone::insert(&mut pipeline, NewTombstone { uuid: self.uuid, document_id, key, version, identity_values });
        let change = NewChange {
            document_id,
            document_uuid: self.uuid,
            resource_key: key,
            kind: ChangeKind::Delete,
            content_version: version,
        };
        millstream_outbox::add(&mut pipeline, [&change]);
        pipeline.commit();
        match pipeline.run().await {
            Ok(_) => {
                transaction.committed();
                Ok(Written { outcome: Outcome::Deleted, uuid: self.uuid, version })
            }
            Err(error) if matches!(error.kind(), ErrorKind::ForeignKeyViolation { .. }) => {
                // Gives the connection back before the referring types are looked up.
                let refused: Result<Written, AttemptError> = abandon(transaction, error).await;
                match refused {
                    Ok(written) => Ok(written),
                    Err(_) => self.refuse(document_id).await,
                }
            }
            Err(error) => abandon(transaction, error).await,
        }
    }

    /// Names every type that refers to the document (docs/design/edfi-api.md#edfi-6.8). If none does any more, the
    /// delete is tried again.
    async fn refuse(&self, document_id: i64) -> Result<Written, AttemptError> {
        let client = self.database.get().await?;
        let mut resources: Vec<String> = if self.resource.is_descriptor {
            let uses: Vec<String> = self.descriptor_uses(document_id).collect();
            let rows = if uses.is_empty() { Vec::new() } else { client.query(&uses.join(" UNION ALL "), &[]).await? };
            query::read_column(&rows, "ResourceName")?
        } else {
            edge::referring_types(&client, document_id).await?
        };
        resources.dedup();
        match resources.is_empty() {
            true => Err(AttemptError::StartOver("the referring document was deleted meanwhile")),
            false => Err(WriteError::DependentItemExists { resources }.into()),
        }
    }

    /// One `EXISTS` per compiled descriptor column of this type (docs/design/rules.md#rule-14): descriptors have no
    /// edges.
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
                "SELECT '{name}'::text AS \"ResourceName\" WHERE EXISTS (SELECT 1 FROM {} WHERE \"{column}\" = {document_id})",
                table.qualified
            )
        })
    }
}
