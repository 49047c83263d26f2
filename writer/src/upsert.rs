//! POST and PUT: two phases
//! (docs/design/rules.md#rule-9). A read-only snapshot answers what changes nothing, without a lock and without
//! WAL; otherwise a transaction locks, reads everything again, and writes.

use crate::attempt::AttemptError;
use crate::body::FlatDocument;
use crate::error::WriteError;
use crate::identity;
use crate::locked::{
    DRAW_VERSION, LOCK_DOCUMENT, READ_EDGES, abandon, check_preconditions, first_pair, first_value, locked_ids,
    read_edges,
};
use crate::options::WriterOptions;
use crate::persist::{self, NewDocument};
use crate::request::{Outcome, Preconditions, Written};
use crate::resolve::{Binding, Own, Resolved, Subject, add_resolution};
use crate::rows::{BoundDocument, add_inserts, add_replacements, content_hash};
use crate::transaction::{Session, params, share_locks};
use millstream_pipeline::{ChangeKind, NewChange};
use millstream_schema::plan::{Mapping, ResourcePlan};
use millstream_store::connect::Database;
use millstream_store::error::StoreError;
use std::collections::{BTreeMap, BTreeSet};
use tokio_postgres::Row;
use uuid::Uuid;

const DRAW_DOCUMENT: &str = r#"SELECT nextval('"dms"."DocumentIdSequence"'), nextval('"dms"."ChangeVersionSequence"')"#;

/// A parsed POST or PUT.
pub(crate) struct Upsert<'a> {
    pub(crate) database: &'a Database,
    pub(crate) mapping: &'a Mapping,
    pub(crate) options: &'a WriterOptions,
    pub(crate) resource: &'a ResourcePlan,
    pub(crate) flat: &'a FlatDocument,
    /// The route's id: PUT. None: POST.
    pub(crate) route: Option<Uuid>,
    pub(crate) preconditions: &'a Preconditions,
}

/// What the locked second phase has found.
struct Locked {
    own: Own,
    edges: BTreeMap<i64, bool>,
    binding: Binding,
}

impl Upsert<'_> {
    /// One attempt at the whole write.
    pub(crate) async fn attempt(&self) -> Result<Written, AttemptError> {
        let session = Session::open(self.database).await?;
        let mut pipeline = session.pipeline()?;
        let place = add_resolution(&mut pipeline, &self.flat.targets, self.subject());
        let resolved = Resolved::read(&pipeline.run().await?[place])?;
        let own = self.admit(resolved.own.as_ref())?;
        let binding = resolved.bind(self.flat)?;
        match own {
            None => self.insert(session, &binding).await,
            Some(own) if own.referential_id != self.flat.referential_id => {
                identity::Rename { upsert: self, document_id: own.document_id }.run(session, &binding).await
            }
            Some(own) if own.content_hash == content_hash(self.resource, self.flat, &binding) => Ok(unchanged(own)),
            Some(own) => self.update(session, own.document_id, &binding).await,
        }
    }

    pub(crate) fn subject(&self) -> Subject {
        self.route.map_or(Subject::Identity(self.flat.referential_id), Subject::Uuid)
    }

    /// Whether the write may go on with the document that was found: existence, preconditions, immutable identities.
    pub(crate) fn admit<'o>(&self, own: Option<&'o Own>) -> Result<Option<&'o Own>, WriteError> {
        let own = own.filter(|own| own.key == self.resource.key);
        check_preconditions(self.preconditions, own.map(|own| own.effective_version))?;
        let Some(found) = own else {
            return if self.route.is_some() { Err(WriteError::NotFound) } else { Ok(None) };
        };
        let is_renamed = found.referential_id != self.flat.referential_id;
        let is_another = !is_renamed && !self.flat.has_identity(self.resource, &found.identity_values);
        if is_another && (self.route.is_none() || self.resource.allow_identity_updates) {
            return Err(WriteError::IdentityConflict {
                detail: "The identifying values cannot be told from those of another item that already exists: their \
                         identifiers are equal. Choose values without '#' and '='."
                    .to_owned(),
            });
        }
        if (is_renamed || is_another) && !self.resource.allow_identity_updates {
            return Err(WriteError::KeyChangeNotSupported {
                detail: format!(
                    "Identifying values for the {} resource cannot be changed. Delete and recreate the resource item instead.",
                    self.resource.resource_name
                ),
            });
        }
        Ok(own)
    }

    /// Whether any reference of this type leads to a document whose identity can change: only then are locks needed.
    pub(crate) fn shares_locks(&self) -> bool {
        self.resource.references.iter().any(|site| site.target_changeable)
    }

    async fn insert(&self, mut session: Session, first: &Binding) -> Result<Written, AttemptError> {
        let shares = self.shares_locks();
        let mut pipeline = session.begin()?;
        let share = shares.then(|| share_locks(&mut pipeline, first.changeable(self.flat), None, false));
        let resolution = add_resolution(&mut pipeline, &self.flat.targets, self.subject());
        let draw = pipeline.add(DRAW_DOCUMENT, Vec::new());
        let answers = match pipeline.run().await {
            Ok(answers) => answers,
            Err(error) => return abandon(session, error).await,
        };
        let resolved = Resolved::read(&answers[resolution])?;
        let locked = locked_ids(share.map(|at| &answers[at]))?;
        let binding = match self.recheck_insert(&resolved, &locked) {
            Ok(binding) => binding,
            Err(error) => return abandon(session, error).await,
        };
        let (document_id, version): (i64, i64) = first_pair(&answers[draw])?;
        let uuid = Uuid::now_v7();
        let values = binding.identity_values(self.resource, self.flat)?;
        let mut pipeline = session.pipeline()?;
        let key = self.resource.key;
        let content_hash = content_hash(self.resource, self.flat, &binding);
        persist::add_documents(&mut pipeline, &[NewDocument { document_id, uuid, key, version, content_hash }]);
        persist::add_identities(&mut pipeline, persist::identity_rows(self.resource, document_id, &values));
        if self.resource.changeable {
            persist::add_identity_locks(&mut pipeline, vec![document_id]);
        }
        add_inserts(&mut pipeline, self.resource, &[BoundDocument { document_id, flat: self.flat, binding: &binding }]);
        persist::add_edge_difference(&mut pipeline, document_id, &BTreeMap::new(), &binding.edges(self.flat));
        persist::add_outbox(&mut pipeline, &[self.change(document_id, uuid, ChangeKind::Upsert, version)]);
        pipeline.add("COMMIT", Vec::new());
        let result = pipeline.run().await;
        self.finish(session, result, Written { outcome: Outcome::Created, uuid, version }).await
    }

    fn recheck_insert(&self, resolved: &Resolved, locked: &BTreeSet<i64>) -> Result<Binding, AttemptError> {
        if resolved.own.is_some() {
            return Err(AttemptError::StartOver("the document was created meanwhile"));
        }
        let binding = resolved.bind(self.flat)?;
        if binding.changeable(self.flat).iter().all(|id| locked.contains(id)) {
            Ok(binding)
        } else {
            Err(AttemptError::StartOver("a reference changed while it was being locked"))
        }
    }

    async fn update(&self, mut session: Session, document_id: i64, first: &Binding) -> Result<Written, AttemptError> {
        let mut pipeline = session.begin()?;
        let shares = self.shares_locks();
        let share = shares.then(|| share_locks(&mut pipeline, first.changeable(self.flat), Some(document_id), false));
        let row = pipeline.add(LOCK_DOCUMENT, params![document_id]);
        let edges = pipeline.add(READ_EDGES, params![document_id]);
        let resolution = add_resolution(&mut pipeline, &self.flat.targets, self.subject());
        let draw = pipeline.add(DRAW_VERSION, Vec::new());
        let answers = match pipeline.run().await {
            Ok(answers) => answers,
            Err(error) => return abandon(session, error).await,
        };
        let resolved = Resolved::read(&answers[resolution])?;
        let locked = locked_ids(share.map(|at| &answers[at]))?;
        let gone = answers[row].is_empty();
        let version = first_value(&answers[draw])?;
        let locked = match self.recheck_update(document_id, gone, resolved, &answers[edges], &locked) {
            Ok(locked) => locked,
            Err(error) => return abandon(session, error).await,
        };
        let content_hash = content_hash(self.resource, self.flat, &locked.binding);
        if locked.own.content_hash == content_hash {
            session.rollback().await?;
            return Ok(unchanged(&locked.own));
        }
        let mut pipeline = session.pipeline()?;
        let document = BoundDocument { document_id, flat: self.flat, binding: &locked.binding };
        add_replacements(&mut pipeline, self.resource, &[document]);
        persist::add_edge_difference(&mut pipeline, document_id, &locked.edges, &locked.binding.edges(self.flat));
        persist::add_edits(&mut pipeline, vec![document_id], vec![version], vec![content_hash]);
        let uuid = locked.own.uuid;
        persist::add_outbox(&mut pipeline, &[self.change(document_id, uuid, ChangeKind::Upsert, version)]);
        pipeline.add("COMMIT", Vec::new());
        let result = pipeline.run().await;
        self.finish(session, result, Written { outcome: Outcome::Updated, uuid, version }).await
    }

    /// Everything that phase 1 read, read again under the locks.
    fn recheck_update(
        &self,
        document_id: i64,
        gone: bool,
        resolved: Resolved,
        edges: &[Row],
        locked: &BTreeSet<i64>,
    ) -> Result<Locked, AttemptError> {
        if gone {
            return Err(match self.route {
                Some(_) => WriteError::NotFound.into(),
                None => AttemptError::StartOver("the document was deleted meanwhile"),
            });
        }
        let same = |own: &&Own| own.document_id == document_id && own.referential_id == self.flat.referential_id;
        let Some(own) = self.admit(resolved.own.as_ref())?.filter(same).cloned() else {
            return Err(AttemptError::StartOver("the document's identity changed meanwhile"));
        };
        let binding = resolved.bind(self.flat)?;
        let (edges, changeable) = read_edges(edges)?;
        if changeable.iter().chain(&binding.changeable(self.flat)).all(|id| locked.contains(id)) {
            Ok(Locked { own, edges, binding })
        } else {
            Err(AttemptError::StartOver("a reference changed while it was being locked"))
        }
    }

    pub(crate) fn change(&self, document_id: i64, document_uuid: Uuid, kind: ChangeKind, version: i64) -> NewChange {
        NewChange { document_id, document_uuid, resource_key: self.resource.key, kind, content_version: version }
    }

    /// The answer once the last statements, `COMMIT` among them, were sent.
    pub(crate) async fn finish(
        &self,
        session: Session,
        result: Result<Vec<Vec<Row>>, StoreError>,
        written: Written,
    ) -> Result<Written, AttemptError> {
        match result {
            Ok(_) => {
                session.committed();
                Ok(written)
            }
            Err(error) => abandon(session, AttemptError::of_write(error, self.root_table())).await,
        }
    }

    /// Unquoted name of the root table.
    pub(crate) fn root_table(&self) -> &str {
        self.resource.tables[0].qualified.rsplit('.').next().unwrap_or_default().trim_matches('"')
    }
}

fn unchanged(own: &Own) -> Written {
    Written { outcome: Outcome::Unchanged, uuid: own.uuid, version: own.effective_version }
}
