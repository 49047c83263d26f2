//! Identities computed from rows.
//!
//! A document's identity takes values from the documents that it refers to, those from theirs, and so on. The root rows
//! of all of them are read level by level, one statement per type and level; then every identity is computed once.
//! Stored IdentityValues are not used.

use super::range::Range;
use crate::compose::write_text;
use crate::connect::GenericClient;
use crate::error::StoreError;
use crate::load::{
    Batch, Extent, IdentityValues, LoadedDescriptor, RowBudget, TableRows, TypeRows, load_batch, load_descriptors,
};
use crate::table::document;
use millstream_schema::plan::{IdentityElement, IdentitySource, Mapping, ResourceIx, ResourcePlan};
use std::collections::{BTreeSet, HashMap};

/// Maximum number of levels of references followed within an identity. Types cannot form a circle, only damaged rows
/// can.
const LEVELS_MAX: usize = 32;

/// Why an identity cannot be computed from the rows.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Uncomputable(String);

impl<T: Into<String>> From<T> for Uncomputable {
    fn from(reason: T) -> Self {
        Self(reason.into())
    }
}

/// The identity of every document of a range, or why it cannot be computed.
pub(crate) struct ComputedIdentities {
    identities: HashMap<i64, Result<IdentityValues, Uncomputable>>,
}

impl ComputedIdentities {
    /// Computes the identities of a range.
    pub(super) async fn load<C: GenericClient>(client: &C, range: &Range<'_>) -> Result<Self, StoreError> {
        Self::of_batch(client, range.mapping, &range.batch, &range.ids).await
    }

    /// Computes the identities of these documents, whose root rows are in the batch.
    pub(crate) async fn of_batch<C: GenericClient>(
        client: &C,
        mapping: &Mapping,
        batch: &Batch,
        ids: &[i64],
    ) -> Result<Self, StoreError> {
        let below = load_below(client, mapping, batch).await?;
        let batches: Vec<&Batch> = std::iter::once(batch).chain(&below).collect();
        let wanted: BTreeSet<i64> = batches.iter().flat_map(|batch| identity_descriptors(mapping, batch)).collect();
        let descriptors = load_descriptors(client, &wanted.into_iter().collect::<Vec<_>>()).await?;
        let mut computer = IdentityComputer { mapping, roots: roots_of(&batches), descriptors, done: HashMap::new() };
        let identities = ids.iter().map(|id| (*id, computer.identity(*id, 0))).collect();
        Ok(Self { identities })
    }

    /// The identity of a document of the range.
    pub(crate) fn identity(&self, document_id: i64) -> Option<&Result<IdentityValues, Uncomputable>> {
        self.identities.get(&document_id)
    }
}

/// Reads the root rows of the documents that identities lead to, a batch per level.
async fn load_below<C: GenericClient>(client: &C, mapping: &Mapping, first: &Batch) -> Result<Vec<Batch>, StoreError> {
    let mut seen: BTreeSet<i64> = ids_of(first).collect();
    let mut wanted: BTreeSet<i64> = identity_targets(mapping, first).collect();
    let mut levels = Vec::new();
    for _ in 0..LEVELS_MAX {
        let level: Vec<i64> = wanted.difference(&seen).copied().collect();
        if level.is_empty() {
            break;
        }
        let documents = document::types(client, &level).await?.into_iter().map(|found| (found.document_id, found.key));
        let batch = load_batch(client, mapping, documents, Extent::Root, &RowBudget::measured()).await?;
        let batch = batch.unwrap_or_default();
        wanted = identity_targets(mapping, &batch).collect();
        seen.extend(level);
        levels.push(batch);
    }
    Ok(levels)
}

fn ids_of(batch: &Batch) -> impl Iterator<Item = i64> {
    batch.types.values().flat_map(|rows| rows.ids.iter().copied())
}

/// Documents that the identities of a batch take values from.
fn identity_targets<'a>(mapping: &'a Mapping, batch: &'a Batch) -> impl Iterator<Item = i64> + 'a {
    columns_of(mapping, batch, |plan, element| match element.source {
        IdentitySource::Reference { site, .. } => plan.references.get(site).map(|site| (site.table, site.column)),
        _ => None,
    })
}

/// Descriptors that the identities of a batch take URIs from.
fn identity_descriptors<'a>(mapping: &'a Mapping, batch: &'a Batch) -> impl Iterator<Item = i64> + 'a {
    columns_of(mapping, batch, |plan, element| match element.source {
        IdentitySource::Descriptor { site } => plan.descriptors.get(site).map(|site| (site.table, site.column)),
        _ => None,
    })
}

fn columns_of<'a>(
    mapping: &'a Mapping,
    batch: &'a Batch,
    column: impl Fn(&ResourcePlan, &IdentityElement) -> Option<(usize, usize)> + 'a,
) -> impl Iterator<Item = i64> + 'a {
    batch.types.iter().flat_map(move |(ix, rows): (&ResourceIx, &TypeRows)| {
        let plan = mapping.resource(*ix);
        // A set: several elements may come through one reference.
        let columns: BTreeSet<_> = plan.identity.elements.iter().filter_map(|element| column(plan, element)).collect();
        columns.into_iter().flat_map(move |(table, column)| rows.ids_in(table, column))
    })
}

/// A root row.
#[derive(Clone, Copy)]
struct RootRow<'a> {
    ix: ResourceIx,
    table: &'a TableRows,
    at: usize,
}

fn roots_of<'a>(batches: &[&'a Batch]) -> HashMap<i64, RootRow<'a>> {
    let mut roots = HashMap::new();
    for batch in batches {
        for (ix, rows) in &batch.types {
            let Some(table) = rows.tables.first() else { continue };
            for at in 0..table.len() {
                if let Some(id) = table.document_id(at) {
                    roots.insert(id, RootRow { ix: *ix, table, at });
                }
            }
        }
    }
    roots
}

struct IdentityComputer<'a> {
    mapping: &'a Mapping,
    roots: HashMap<i64, RootRow<'a>>,
    descriptors: HashMap<i64, LoadedDescriptor>,
    done: HashMap<i64, Result<IdentityValues, Uncomputable>>,
}

impl IdentityComputer<'_> {
    fn identity(&mut self, document_id: i64, level: usize) -> Result<IdentityValues, Uncomputable> {
        if let Some(done) = self.done.get(&document_id) {
            return done.clone();
        }
        let computed = self.compute(document_id, level);
        self.done.insert(document_id, computed.clone());
        computed
    }

    fn compute(&mut self, document_id: i64, level: usize) -> Result<IdentityValues, Uncomputable> {
        if level > LEVELS_MAX {
            return Err(format!("its references lead in a circle at document {document_id}").into());
        }
        let root = *self.roots.get(&document_id).ok_or_else(|| format!("document {document_id} has no root row"))?;
        let plan = self.mapping.resource(root.ix);
        let mut values: Vec<Box<str>> = Vec::with_capacity(plan.identity.elements.len());
        for element in &plan.identity.elements {
            let value = match element.source {
                IdentitySource::Column { column } => column_text(plan, root, column),
                IdentitySource::Descriptor { site } => self.descriptor_uri(plan, root, site),
                IdentitySource::Reference { site, position } => self.reference_value(plan, root, site, position, level),
            };
            values.push(value.map_err(|reason| format!("{}: {reason}", element.path))?);
        }
        Ok(values.into())
    }

    fn descriptor_uri(&self, plan: &ResourcePlan, root: RootRow<'_>, site: usize) -> Result<Box<str>, Uncomputable> {
        let site = plan.descriptors.get(site).ok_or("the mapping has no such descriptor site")?;
        let id = root.table.id(root.at, site.column).ok_or("the descriptor column is NULL")?;
        let found = self.descriptors.get(&id).ok_or_else(|| format!("descriptor {id} does not exist"))?;
        Ok(Box::from(&*found.uri))
    }

    fn reference_value(
        &mut self,
        plan: &ResourcePlan,
        root: RootRow<'_>,
        site: usize,
        position: usize,
        level: usize,
    ) -> Result<Box<str>, Uncomputable> {
        let site = plan.references.get(site).ok_or("the mapping has no such reference site")?;
        let target = root.table.id(root.at, site.column).ok_or("the reference column is NULL")?;
        let values = self.identity(target, level + 1)?;
        let missing = || format!("document {target} has no identity element {position}").into();
        values.get(position).cloned().ok_or_else(missing)
    }
}

fn column_text(plan: &ResourcePlan, root: RootRow<'_>, column: usize) -> Result<Box<str>, Uncomputable> {
    let column_plan =
        plan.tables.first().and_then(|table| table.columns.get(column)).ok_or("the mapping has no such column")?;
    let raw = root.table.value(root.at, column).ok_or("the column is NULL")?;
    let mut out = Vec::new();
    write_text(&mut out, column_plan.ty, raw).map_err(|_| "the value is unreadable")?;
    String::from_utf8(out).map(String::into_boxed_str).map_err(|_| "the value is not text".into())
}
