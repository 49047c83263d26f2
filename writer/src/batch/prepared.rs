//! Documents of a batch that phase 1 has prepared, and the resolution that they were prepared with.

use crate::body::{Cell, FlatDocument, Scalar, Target};
use crate::resolve::{Binding, CurrentRow, Found, ResolvedTarget};
use crate::upsert_request::UpsertRequest;
use millstream_schema::plan::{DescriptorColumn, ResourcePlan};
use millstream_store::error::StoreError;
use millstream_store::table::identity::NewIdentity;
use millstream_store::table::resolution::ResolutionRow;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use uuid::Uuid;

/// A document that is to be inserted.
#[derive(Debug)]
pub(super) struct Insert {
    /// Its position in the batch.
    pub(super) at: usize,
    pub(super) document_id: i64,
    pub(super) uuid: Uuid,
    /// Place in the order of root rows.
    pub(super) level: usize,
    pub(super) binding: Binding,
    pub(super) content_hash: Vec<u8>,
    pub(super) identities: Vec<NewIdentity>,
    /// Targets whose columns in the root row are set after all root rows were inserted.
    pub(super) postponed: BTreeSet<usize>,
    /// Positions of the new documents of the batch that it refers to.
    pub(super) providers: Vec<usize>,
}

/// A document that exists and is to be changed.
#[derive(Debug)]
pub(super) struct Edit {
    /// Its position in the batch.
    pub(super) at: usize,
    pub(super) document_id: i64,
    pub(super) binding: Binding,
    /// Positions of the new documents of the batch that it refers to.
    pub(super) providers: Vec<usize>,
}

/// The result of one resolution for many writes.
#[derive(Debug, Default)]
pub(super) struct BatchResolution {
    targets: HashMap<Uuid, Arc<ResolvedTarget>>,
    documents: Vec<CurrentRow>,
    by_identity: HashMap<Uuid, usize>,
    by_uuid: HashMap<Uuid, usize>,
}

impl BatchResolution {
    /// Sorts the rows of a resolution.
    pub(super) fn new(rows: Vec<ResolutionRow>) -> Result<Self, StoreError> {
        let mut resolution = Self::default();
        for row in rows {
            match Found::new(row)? {
                Found::Target(id, target) => {
                    resolution.targets.insert(id, Arc::new(target));
                }
                Found::Current(current) => {
                    let at = resolution.documents.len();
                    resolution.by_identity.insert(current.referential_id, at);
                    resolution.by_uuid.insert(current.uuid, at);
                    resolution.documents.push(current);
                }
            }
        }
        Ok(resolution)
    }

    /// The document that a write is about.
    pub(super) fn current(&self, request: &UpsertRequest<'_>) -> Option<&CurrentRow> {
        let at = match request.route {
            Some(uuid) => self.by_uuid.get(&uuid),
            None => self.by_identity.get(&request.flat.referential_id),
        };
        at.map(|at| &self.documents[*at])
    }

    /// A referenced document that exists.
    pub(super) fn target(&self, target: &Target) -> Option<&Arc<ResolvedTarget>> {
        let found = self.targets.get(&target.referential_id)?;
        target.is_named_by(&found.identity_values).then_some(found)
    }
}

/// A new document as others of its batch refer to it.
pub(super) fn as_target(
    resource: &ResourcePlan,
    flat: &FlatDocument,
    document_id: i64,
    identity_values: Vec<String>,
) -> Arc<ResolvedTarget> {
    let uri_at = DescriptorColumn::ALL.iter().position(|column| *column == DescriptorColumn::Uri);
    let uri_cell = uri_at.filter(|_| resource.is_descriptor).and_then(|at| flat.tables[0].first()?.cells.get(at));
    let uri = match uri_cell {
        Some(Cell::Value(Scalar::Text(uri))) => Some(uri.clone()),
        _ => None,
    };
    Arc::new(ResolvedTarget { document_id, identity_values, uri })
}
