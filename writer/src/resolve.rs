//! Resolution: from the references of a body to the documents that it refers to.

use crate::body::{Cell, FlatDocument, MESSAGES_MAX, NOT_ALL, Row, Target};
use crate::error::WriteError;
use millstream_schema::plan::{IdentitySource, ResourceKeyId, ResourcePlan};
use millstream_store::error::StoreError;
use millstream_store::table::resolution::ResolutionRow;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use uuid::Uuid;

/// A referenced document that exists.
#[derive(Debug, Clone)]
pub(crate) struct ResolvedTarget {
    pub(crate) document_id: i64,
    pub(crate) identity_values: Vec<String>,
    /// For descriptors.
    pub(crate) uri: Option<String>,
}

/// The document that a write is about, as one snapshot shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CurrentRow {
    pub(crate) document_id: i64,
    pub(crate) uuid: Uuid,
    pub(crate) key: ResourceKeyId,
    pub(crate) referential_id: Uuid,
    pub(crate) identity_values: Vec<String>,
    pub(crate) effective_version: i64,
    pub(crate) content_hash: Vec<u8>,
}

/// The meaning of one row of a resolution.
pub(crate) enum Found {
    /// A document that a body refers to, by its ReferentialId.
    Target(Uuid, ResolvedTarget),
    /// A document that is to be written.
    Current(CurrentRow),
}

impl Found {
    /// Tells a referenced document from one that is to be written.
    pub(crate) fn new(row: ResolutionRow) -> Result<Self, StoreError> {
        let ResolutionRow { referential_id, document_id, key, identity_values, uri, .. } = row;
        let Some(uuid) = row.uuid else {
            return Ok(Self::Target(referential_id, ResolvedTarget { document_id, identity_values, uri }));
        };
        let missing = |column| StoreError::other(format!("the resolved document has no {column}"));
        Ok(Self::Current(CurrentRow {
            document_id,
            uuid,
            key,
            referential_id,
            identity_values,
            effective_version: row.effective_version.ok_or_else(|| missing("EffectiveVersion"))?,
            content_hash: row.content_hash.ok_or_else(|| missing("ContentHash"))?,
        }))
    }
}

/// The result of the resolution of one write.
#[derive(Debug, Default)]
pub(crate) struct Resolved {
    targets: HashMap<Uuid, Arc<ResolvedTarget>>,
    /// The document of the body's identity (POST) or of the route (PUT, DELETE).
    pub(crate) current: Option<CurrentRow>,
}

impl Resolved {
    /// Sorts the rows of a resolution.
    pub(crate) fn new(rows: Vec<ResolutionRow>) -> Result<Self, StoreError> {
        let mut resolved = Self::default();
        for row in rows {
            match Found::new(row)? {
                Found::Target(id, target) => {
                    resolved.targets.insert(id, Arc::new(target));
                }
                Found::Current(current) => resolved.current = Some(current),
            }
        }
        Ok(resolved)
    }

    /// Binds a body to the resolved targets.
    pub(crate) fn bind(&self, flat: &FlatDocument) -> Result<Binding, WriteError> {
        bind(flat, |target| self.targets.get(&target.referential_id))
    }
}

/// Binds a body to the documents that `find` knows. Missing descriptors are a 400, missing documents alone a 409.
pub(crate) fn bind<'t>(
    flat: &FlatDocument,
    find: impl Fn(&Target) -> Option<&'t Arc<ResolvedTarget>>,
) -> Result<Binding, WriteError> {
    let mut found = Vec::with_capacity(flat.targets.len());
    let mut missing: Vec<&Target> = Vec::new();
    for target in &flat.targets {
        match find(target) {
            Some(document) if target.is_named_by(&document.identity_values) => found.push(Arc::clone(document)),
            _ => missing.push(target),
        }
    }
    if missing.is_empty() { Ok(Binding { found }) } else { Err(unresolved(&missing)) }
}

fn unresolved(missing: &[&Target]) -> WriteError {
    if missing.iter().all(|target| target.uri.is_none()) {
        let mut errors: Vec<String> = missing
            .iter()
            .flat_map(|target| {
                target
                    .paths
                    .iter()
                    .map(|path| format!("The referenced {} item at {path} does not exist.", target.type_name))
            })
            .collect();
        if errors.len() > MESSAGES_MAX {
            errors.truncate(MESSAGES_MAX);
            errors.push(NOT_ALL.to_owned());
        }
        return WriteError::UnresolvedReference { errors };
    }
    let mut validation_errors: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for target in missing {
        let message = match &target.uri {
            Some(uri) => format!("{} value '{uri}' does not exist.", target.type_name),
            None => format!("The referenced {} item does not exist.", target.type_name),
        };
        for path in &target.paths {
            if validation_errors.len() == MESSAGES_MAX {
                return WriteError::DescriptorNotFound { validation_errors };
            }
            validation_errors.entry(path.clone()).or_default().push(message.clone());
        }
    }
    WriteError::DescriptorNotFound { validation_errors }
}

/// A body's resolved targets: one entry per [`FlatDocument::targets`].
#[derive(Debug, Clone)]
pub(crate) struct Binding {
    found: Vec<Arc<ResolvedTarget>>,
}

impl Binding {
    /// DocumentId of a target.
    pub(crate) fn document_id(&self, target: usize) -> i64 {
        self.found[target].document_id
    }

    /// The targets of a body with what they are bound to.
    pub(crate) fn targets<'b>(
        &'b self,
        flat: &'b FlatDocument,
    ) -> impl Iterator<Item = (&'b Target, &'b Arc<ResolvedTarget>)> {
        flat.targets.iter().zip(&self.found)
    }

    /// The reference set: child → is identity component. Descriptors have no edges.
    pub(crate) fn edges(&self, flat: &FlatDocument) -> BTreeMap<i64, bool> {
        let mut edges = BTreeMap::new();
        for (target, found) in flat.targets.iter().zip(&self.found) {
            if target.uri.is_none() {
                *edges.entry(found.document_id).or_insert(false) |= target.is_identity_component;
            }
        }
        edges
    }

    /// Referenced documents whose identity can change, ascending.
    pub(crate) fn changeable(&self, flat: &FlatDocument) -> Vec<i64> {
        let changeable = flat.targets.iter().zip(&self.found).filter(|(target, _)| target.is_changeable);
        let mut ids: Vec<i64> = changeable.map(|(_, found)| found.document_id).collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    /// `IdentityValues` as they are stored: the body's own scalars, and the values of the targets (a descriptor keeps
    /// the casing of its document, docs/design/rules.md#rule-15).
    pub(crate) fn identity_values(
        &self,
        resource: &ResourcePlan,
        flat: &FlatDocument,
    ) -> Result<Vec<String>, WriteError> {
        let root: &Row = flat.tables[0].first().ok_or_else(|| WriteError::internal("a document without a root row"))?;
        let target = |column: usize| match root.cells[column] {
            Cell::Target(target) => Ok(&self.found[target]),
            _ => Err(WriteError::internal("an identity reference without a target")),
        };
        let elements = resource.identity.elements.iter().zip(&flat.identity_values);
        let value = |(element, given): (&millstream_schema::plan::IdentityElement, &String)| match &element.source {
            IdentitySource::Column { .. } => Ok(given.clone()),
            IdentitySource::Descriptor { site } => {
                let found = target(resource.descriptors[*site].column)?;
                Ok(found.uri.clone().unwrap_or_else(|| given.clone()))
            }
            IdentitySource::Reference { site, position } => {
                let found = target(resource.references[*site].column)?;
                let value = found.identity_values.get(*position).cloned();
                value.ok_or_else(|| WriteError::internal("a referenced identity is shorter than its plan"))
            }
        };
        elements.map(value).collect()
    }
}
