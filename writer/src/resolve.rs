//! Resolution: ReferentialIds to documents, in one statement however many there are.

use crate::body::{Cell, FlatDocument, MESSAGES_MAX, NOT_ALL, Row, Target};
use crate::error::WriteError;
use crate::transaction::{Pipeline, params};
use millstream_schema::plan::{IdentitySource, ResourceKeyId, ResourcePlan};
use millstream_store::error::StoreError;
use millstream_store::version::effective_version;
use std::collections::{BTreeMap, HashMap};
use std::sync::LazyLock;
use uuid::Uuid;

/// One snapshot: referenced documents and descriptors (`$1`), the document that carries the body's own id (`$2`), and
/// the document of the route (`$3`).
///
/// Written so that PostgreSQL plans it once a session, and well even if it does so while the tables are empty. Arrays
/// stand in sub-selects, which hides their lengths: a plan for just these ids would look a little cheaper than the generic
/// one every time, and planning takes twenty times as long as running. Nothing is a join that could become a hash join:
/// made on empty tables, it would read whole ones until somebody analyses them.
static RESOLVE: LazyLock<String> = LazyLock::new(|| {
    let own = format!(
        r#"SELECT o."ReferentialId", d."DocumentId", d."ResourceKeyId", o."IdentityValues", NULL::varchar, d."DocumentUuid", d."ContentVersion", {}, d."ContentHash" FROM "dms"."Document" d CROSS JOIN LATERAL (SELECT r."ReferentialId", r."IdentityValues" FROM "dms"."ReferentialIdentity" r WHERE r."DocumentId" = d."DocumentId" AND r."ResourceKeyId" = d."ResourceKeyId" LIMIT 1) o"#,
        effective_version("d")
    );
    format!(
        r#"SELECT i."ReferentialId", i."DocumentId", i."ResourceKeyId", i."IdentityValues", (SELECT x."Uri" FROM "dms"."Descriptor" x WHERE x."DocumentId" = i."DocumentId"), NULL::uuid, NULL::int8, NULL::int8, NULL::bytea FROM "dms"."ReferentialIdentity" i WHERE i."ReferentialId" = ANY((SELECT $1::uuid[])::uuid[])
UNION ALL {own} WHERE d."DocumentId" = ANY(ARRAY(SELECT s."DocumentId" FROM "dms"."ReferentialIdentity" s WHERE s."ReferentialId" = ANY((SELECT $2::uuid[])::uuid[])))
UNION ALL {own} WHERE d."DocumentUuid" = ANY((SELECT $3::uuid[])::uuid[])"#
    )
});

/// A document that was found.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub(crate) document_id: i64,
    pub(crate) identity_values: Vec<String>,
    /// For descriptors.
    pub(crate) uri: Option<String>,
}

/// The target document of a write, as one snapshot shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Own {
    pub(crate) document_id: i64,
    pub(crate) uuid: Uuid,
    pub(crate) key: ResourceKeyId,
    pub(crate) referential_id: Uuid,
    pub(crate) identity_values: Vec<String>,
    pub(crate) effective_version: i64,
    pub(crate) content_hash: Vec<u8>,
}

/// The answer of one resolution.
#[derive(Debug, Default)]
pub(crate) struct Resolved {
    found: HashMap<Uuid, Found>,
    /// The document of the body's identity (POST) or of the route (PUT, DELETE).
    pub(crate) own: Option<Own>,
}

/// Whose document a write is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Subject {
    /// The one with this ReferentialId (POST).
    Identity(Uuid),
    /// The one with this public id (PUT, DELETE).
    Uuid(Uuid),
}

/// Adds the resolution of a body's targets and of its subject; returns its place in the answers.
pub(crate) fn add_resolution(pipeline: &mut Pipeline<'_>, targets: &[Target], subject: Subject) -> usize {
    let ids: Vec<Uuid> = targets.iter().map(|target| target.referential_id).collect();
    let (identities, uuids) = match subject {
        Subject::Identity(id) => (vec![id], Vec::new()),
        Subject::Uuid(uuid) => (Vec::new(), vec![uuid]),
    };
    pipeline.add(RESOLVE.as_str(), params![ids, identities, uuids])
}

impl Resolved {
    /// Reads the answer of [`add_resolution`].
    pub(crate) fn read(rows: &[tokio_postgres::Row]) -> Result<Self, StoreError> {
        let mut resolved = Self::default();
        for row in rows {
            let (referential_id, document_id) = (row.try_get(0)?, row.try_get(1)?);
            let identity_values: Vec<String> = row.try_get(3)?;
            match row.try_get::<_, Option<Uuid>>(5)? {
                None => {
                    let uri = row.try_get(4)?;
                    resolved.found.insert(referential_id, Found { document_id, identity_values, uri });
                }
                Some(uuid) => {
                    resolved.own = Some(Own {
                        document_id,
                        uuid,
                        key: row.try_get(2)?,
                        referential_id,
                        identity_values,
                        effective_version: row.try_get(7)?,
                        content_hash: row.try_get(8)?,
                    });
                }
            }
        }
        Ok(resolved)
    }

    /// Binds a body to what was found, or says what is missing: descriptors are 400, documents alone 409.
    pub(crate) fn bind(&self, flat: &FlatDocument) -> Result<Binding, WriteError> {
        let mut found = Vec::with_capacity(flat.targets.len());
        let mut missing: Vec<&Target> = Vec::new();
        for target in &flat.targets {
            match self.found.get(&target.referential_id) {
                Some(document) if target.is_named_by(&document.identity_values) => found.push(document.clone()),
                _ => missing.push(target),
            }
        }
        if missing.is_empty() { Ok(Binding { found }) } else { Err(unresolved(&missing)) }
    }
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

/// A body's targets, found: one entry for each of [`FlatDocument::targets`].
#[derive(Debug, Clone)]
pub(crate) struct Binding {
    found: Vec<Found>,
}

impl Binding {
    /// DocumentId of a target.
    pub(crate) fn document_id(&self, target: usize) -> i64 {
        self.found[target].document_id
    }

    /// The reference set: child → is identity component. Descriptors are no edges.
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

    /// `IdentityValues` as they are stored: the body's own scalars, and what the targets have (a descriptor keeps the
    /// casing of its document, docs/design/rules.md#rule-15).
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
