//! One range of documents, with everything that the checks compare.

use super::report::{Difference, DifferenceKind, Report};
use crate::compose::{Composed, DeferredDocument, FittingRows, compose_loaded, load_within};
use crate::connect::GenericClient;
use crate::error::StoreError;
use crate::load::{Batch, DocumentHead, LoadedDescriptor, Memory, load_descriptors, load_lookups};
use millstream_schema::plan::{Mapping, ResourcePlan};
use std::collections::HashMap;

/// Documents, their rows, and the bodies composed from them.
pub(super) struct Range<'m> {
    pub(super) mapping: &'m Mapping,
    pub(super) heads: HashMap<i64, DocumentHead>,
    pub(super) ids: Vec<i64>,
    pub(super) batch: Batch,
    /// Every descriptor that a row of the range points to.
    pub(super) descriptors: HashMap<i64, LoadedDescriptor>,
    pub(super) composed: Vec<Composed>,
}

/// The result of reading a range.
pub(super) enum RangePart<'m> {
    /// The leading documents, whose rows fit.
    Leading(Range<'m>),
    /// The rows of the first document alone do not fit.
    Oversized(DeferredDocument),
}

impl<'m> Range<'m> {
    /// Reads everything that the checks compare the leading documents against, whose rows have at most `bytes_max`
    /// bytes.
    pub(super) async fn load<C: GenericClient>(
        client: &C,
        mapping: &'m Mapping,
        heads: Vec<DocumentHead>,
        bytes_max: usize,
    ) -> Result<RangePart<'m>, StoreError> {
        let FittingRows { batch, heads, deferred } = load_within(client, mapping, heads, bytes_max).await?;
        match deferred.into_iter().next() {
            Some(first) if heads.is_empty() => Ok(RangePart::Oversized(first)),
            _ => Ok(RangePart::Leading(Self::of(client, mapping, heads, batch).await?)),
        }
    }

    async fn of<C: GenericClient>(
        client: &C,
        mapping: &'m Mapping,
        heads: Vec<DocumentHead>,
        batch: Batch,
    ) -> Result<Self, StoreError> {
        // Empty caches per range: an audit trusts nothing that was read in another snapshot.
        let lookups = load_lookups(client, mapping, &Memory::default(), &batch).await?;
        let mut referenced = descriptor_ids(mapping, &batch);
        referenced.sort_unstable();
        referenced.dedup();
        let descriptors = load_descriptors(client, &referenced).await?;
        let ids = heads.iter().map(|head| head.document_id).collect();
        let composed = compose_loaded(mapping, &batch, &lookups, heads.clone());
        let heads = heads.into_iter().map(|head| (head.document_id, head)).collect();
        Ok(Self { mapping, heads, ids, batch, descriptors, composed })
    }

    /// The documents of the range whose type is known.
    pub(super) fn known(&self) -> impl Iterator<Item = (&DocumentHead, &'m ResourcePlan)> {
        self.ids.iter().filter_map(|id| {
            let head = self.heads.get(id)?;
            Some((head, self.mapping.resource(self.mapping.by_key(head.key)?)))
        })
    }

    /// Writes a difference of one document of the range into the report.
    pub(super) fn differs(
        &self,
        report: &mut Report,
        kind: DifferenceKind,
        document_id: i64,
        expected: String,
        found: String,
    ) {
        if let Some(head) = self.heads.get(&document_id) {
            report.add(kind, difference(self.mapping, head, expected, found));
        }
    }
}

/// An example for the report.
pub(super) fn difference(mapping: &Mapping, head: &DocumentHead, expected: String, found: String) -> Difference {
    Difference { uuid: head.uuid, resource: type_name(mapping, head.key), expected, found }
}

/// Name of a type, or its key if the schema does not have it.
pub(super) fn type_name(mapping: &Mapping, key: i16) -> String {
    match mapping.by_key(key) {
        Some(ix) => {
            let plan = mapping.resource(ix);
            format!("{}/{}", plan.project_endpoint, plan.resource_name)
        }
        None => format!("type {key}"),
    }
}

fn descriptor_ids(mapping: &Mapping, batch: &Batch) -> Vec<i64> {
    let mut ids = Vec::new();
    for (ix, rows) in &batch.types {
        for site in &mapping.resource(*ix).descriptors {
            ids.extend(rows.ids_in(site.table, site.column));
        }
    }
    ids
}
