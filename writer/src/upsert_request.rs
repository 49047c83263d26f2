//! A parsed POST or PUT, and whether it may go on with the document that was found.

use crate::attempt::AttemptError;
use crate::body::FlatDocument;
use crate::error::WriteError;
use crate::options::WriterOptions;
use crate::references::References;
use crate::request::Preconditions;
use crate::resolve::{Binding, CurrentRow};
use millstream_pipeline::{ChangeKind, NewChange};
use millstream_schema::plan::{Mapping, ResourcePlan};
use millstream_store::connect::Database;
use millstream_store::table::resolution::{ResolutionRow, Subject, resolve};
use millstream_store::transaction::{Pipeline, StatementRef};
use std::collections::BTreeMap;
use uuid::Uuid;

/// A parsed POST or PUT.
pub(crate) struct UpsertRequest<'a> {
    pub(crate) database: &'a Database,
    pub(crate) mapping: &'a Mapping,
    pub(crate) options: &'a WriterOptions,
    pub(crate) resource: &'a ResourcePlan,
    pub(crate) flat: &'a FlatDocument,
    /// The route's id: PUT. None: POST.
    pub(crate) route: Option<Uuid>,
    pub(crate) preconditions: &'a Preconditions,
}

/// A document as phase 2 read it under its locks.
#[derive(Debug)]
pub(crate) struct LockedCurrent {
    pub(crate) current: CurrentRow,
    /// Its references: child → is identity component.
    pub(crate) edges: BTreeMap<i64, bool>,
    pub(crate) binding: Binding,
}

impl UpsertRequest<'_> {
    /// The document that the write is about.
    pub(crate) fn subject(&self) -> Subject {
        self.route.map_or(Subject::Identity(self.flat.referential_id), Subject::Uuid)
    }

    /// Adds the resolution of the body's targets and of the document that the write is about.
    pub(crate) fn add_resolution(&self, pipeline: &mut Pipeline<'_>) -> StatementRef<ResolutionRow> {
        resolve(pipeline, self.flat.targets.iter().map(|target| target.referential_id), [self.subject()])
    }

    /// Checks that the write may go on with the document that was found: existence, preconditions, immutable
    /// identities.
    pub(crate) fn admit<'o>(&self, current: Option<&'o CurrentRow>) -> Result<Option<&'o CurrentRow>, WriteError> {
        let current = current.filter(|current| current.key == self.resource.key);
        self.preconditions.check(current.map(|current| current.effective_version))?;
        let Some(found) = current else {
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
        Ok(current)
    }

    /// Repeats the checks of phase 1 for a document that exists, on what phase 2 read under its locks: its references
    /// (`None` if it is gone), and its head.
    pub(crate) fn recheck_edit(
        &self,
        document_id: i64,
        stored: Option<References>,
        current: Option<&CurrentRow>,
        bind: impl FnOnce() -> Result<Binding, WriteError>,
        is_locked: impl Fn(&i64) -> bool,
    ) -> Result<LockedCurrent, AttemptError> {
        let Some(References { edges, changeable }) = stored else {
            return Err(match self.route {
                Some(_) => WriteError::NotFound.into(),
                None => AttemptError::StartOver("the document was deleted meanwhile"),
            });
        };
        let same = |current: &&CurrentRow| {
            current.document_id == document_id && current.referential_id == self.flat.referential_id
        };
        let Some(current) = self.admit(current)?.filter(same).cloned() else {
            return Err(AttemptError::StartOver("the document's identity changed meanwhile"));
        };
        let binding = bind()?;
        if changeable.iter().chain(&binding.changeable(self.flat)).all(is_locked) {
            Ok(LockedCurrent { current, edges, binding })
        } else {
            Err(AttemptError::StartOver("a reference changed while it was being locked"))
        }
    }

    /// Whether any reference of this type leads to a document whose identity can change: only then are locks needed.
    pub(crate) fn shares_locks(&self) -> bool {
        self.resource.references.iter().any(|site| site.target_changeable)
    }

    /// The change record of this document.
    pub(crate) fn change(&self, document_id: i64, document_uuid: Uuid, kind: ChangeKind, version: i64) -> NewChange {
        NewChange { document_id, document_uuid, resource_key: self.resource.key, kind, content_version: version }
    }

    /// Unquoted name of the root table.
    pub(crate) fn root_table(&self) -> &str {
        self.resource.tables[0].qualified.rsplit('.').next().unwrap_or_default().trim_matches('"')
    }
}
