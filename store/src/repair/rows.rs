//! Everything that is derived from a document's own rows, apart from its identity.

use super::action::RepairAction;
use crate::compose::{FittingRows, load_within, whole_seconds};
use crate::connect::GenericClient;
use crate::error::StoreError;
use crate::load::{Batch, DocumentHead};
use crate::table::audit::{CachedHead, cached_heads};
use crate::table::descriptor::{self, DescriptorColumns};
use crate::table::{edge, identity_lock, tombstone};
use millstream_schema::plan::Mapping;
use millstream_schema::referential::lower_uri;
use std::collections::{BTreeMap, HashMap, HashSet};

/// Bytes of rows that are read at once.
const PART_BYTES: usize = 16 << 20;

/// The columns of a descriptor that the writer derives, as they have to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DescriptorRepair {
    /// `namespace#codeValue`.
    pub uri: String,
    /// The same in lower case.
    pub uri_lower: String,
    /// The stored URI is another one, so documents embed the wrong one.
    pub uri_changed: bool,
}

/// The damage of a cached row that no rebuild overwrites.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CacheRepair {
    /// Its id, type or time are not the document's.
    Head,
    /// It has a version that the document never had. Sinks may have it too, so the document needs a newer one.
    Ahead,
}

/// The derived rows of a document that are not what its own rows say.
#[derive(Debug, Clone)]
pub struct RowPlan {
    /// The document.
    pub head: DocumentHead,
    /// It has no row in `dms.IdentityLock` and needs one.
    pub lock_missing: bool,
    /// The corrected columns of a descriptor.
    pub descriptor: Option<DescriptorRepair>,
    /// Its stored edges: child → is identity component.
    pub edges_old: BTreeMap<i64, bool>,
    /// The edges that follow from its rows.
    pub edges_new: BTreeMap<i64, bool>,
    /// It has a tombstone although it lives.
    pub tombstone: bool,
    /// The cached row must be removed before it can be rebuilt.
    pub cache: Option<CacheRepair>,
    /// Nothing can be derived, and why: the other fields say that nothing is to be done.
    pub underivable: Option<String>,
}

impl RowPlan {
    fn empty(head: DocumentHead) -> Self {
        Self {
            head,
            lock_missing: false,
            descriptor: None,
            edges_old: BTreeMap::new(),
            edges_new: BTreeMap::new(),
            tombstone: false,
            cache: None,
            underivable: None,
        }
    }

    /// Whether the edges have to be changed.
    pub fn changes_edges(&self) -> bool {
        self.edges_old != self.edges_new
    }

    /// Whether the document needs a new version, so that caches and sinks follow.
    ///
    /// A changed edge needs one because a cascade may have passed the document without stamping it, or have raised its
    /// effective version for a reference that it does not have. A new version is above both.
    pub fn needs_version(&self) -> bool {
        self.changes_edges()
            || self.tombstone
            || self.cache == Some(CacheRepair::Ahead)
            || self.descriptor.as_ref().is_some_and(|columns| columns.uri_changed)
    }

    /// The steps of the repair, in order; empty if nothing is to be done.
    pub fn actions(&self) -> Vec<RepairAction> {
        let mut actions = Vec::new();
        if self.lock_missing {
            actions.push(RepairAction::InsertIdentityLock);
        }
        if self.descriptor.is_some() {
            actions.push(RepairAction::DeriveDescriptorColumns { referrers: 0 });
        }
        for (child, flag) in &self.edges_new {
            match self.edges_old.get(child) {
                None => actions.push(RepairAction::InsertEdge { child: *child }),
                Some(old) if old != flag => actions.push(RepairAction::CorrectEdgeFlag { child: *child }),
                Some(_) => {}
            }
        }
        let extra = self.edges_old.keys().filter(|child| !self.edges_new.contains_key(child));
        actions.extend(extra.map(|child| RepairAction::DeleteEdge { child: *child }));
        if self.tombstone {
            actions.push(RepairAction::DeleteTombstone);
        }
        if self.cache.is_some() {
            actions.push(RepairAction::EvictBody);
        }
        if self.needs_version() {
            actions.push(RepairAction::NewVersion);
        }
        actions
    }
}

/// Plans the repair of documents, as `client` sees them, in the order of `heads`. Reads as many documents at a time as
/// have rows of at most [`PART_BYTES`], but at least one.
pub async fn plan_rows<C: GenericClient>(
    client: &C,
    mapping: &Mapping,
    heads: Vec<DocumentHead>,
) -> Result<Vec<RowPlan>, StoreError> {
    let mut plans = Vec::with_capacity(heads.len());
    let (mut waiting, mut bytes_max) = (heads, PART_BYTES);
    while !waiting.is_empty() {
        let FittingRows { batch, heads, deferred } = load_within(client, mapping, waiting, bytes_max).await?;
        bytes_max = match deferred.first() {
            Some(first) if heads.is_empty() => first.bytes.max(bytes_max + 1),
            _ => PART_BYTES,
        };
        if !heads.is_empty() {
            plans.extend(plan_part(client, mapping, heads, &batch).await?);
        }
        waiting = deferred.into_iter().map(|deferred| deferred.head).collect();
    }
    Ok(plans)
}

async fn plan_part<C: GenericClient>(
    client: &C,
    mapping: &Mapping,
    heads: Vec<DocumentHead>,
    batch: &Batch,
) -> Result<Vec<RowPlan>, StoreError> {
    let ids: Vec<i64> = heads.iter().map(|head| head.document_id).collect();
    let rooted = rooted(batch);
    let mut expected = expected_edges(mapping, batch);
    let mut stored: HashMap<i64, BTreeMap<i64, bool>> = HashMap::new();
    for row in edge::rows(client, &ids).await? {
        stored.entry(row.parent).or_default().insert(row.child, row.is_identity_component);
    }
    let locks = identity_lock::existing(client, &ids).await?;
    let tombstones = tombstone::of_living(client, &ids).await?;
    let cached = cached_heads(client, &ids).await?.into_iter();
    let cached: HashMap<i64, CachedHead> = cached.map(|row| (row.document_id, row)).collect();
    let columns = descriptor::columns(client, &ids).await?.into_iter();
    let columns: HashMap<i64, DescriptorColumns> = columns.map(|row| (row.document_id, row)).collect();
    let plan = |head: DocumentHead| {
        let id = head.document_id;
        let mut plan = RowPlan::empty(head);
        let Some(resource) = mapping.by_key(plan.head.key).map(|ix| mapping.resource(ix)) else {
            plan.underivable = Some(format!("the schema has no type {}", plan.head.key));
            return plan;
        };
        if !rooted.contains(&id) {
            let root = resource.tables.first().map(|table| table.qualified.as_str()).unwrap_or_default();
            plan.underivable = Some(format!("it has no row in {root}: restore the row, or delete the document"));
            return plan;
        }
        plan.lock_missing = resource.changeable && !locks.contains(&id);
        plan.descriptor = columns.get(&id).and_then(|row| descriptor_repair(row, plan.head.key));
        plan.edges_old = stored.remove(&id).unwrap_or_default();
        plan.edges_new = expected.remove(&id).unwrap_or_default();
        plan.tombstone = tombstones.contains(&id);
        plan.cache = cached.get(&id).and_then(|row| cache_repair(row, &plan.head));
        plan
    };
    Ok(heads.into_iter().map(plan).collect())
}

/// The documents of a batch that have a root row.
fn rooted(batch: &Batch) -> HashSet<i64> {
    let roots = batch.types.values().filter_map(|rows| rows.tables.first());
    roots.flat_map(|table| (0..table.len()).filter_map(|at| table.document_id(at))).collect()
}

/// The distinct document foreign keys of all rows of each document.
fn expected_edges(mapping: &Mapping, batch: &Batch) -> HashMap<i64, BTreeMap<i64, bool>> {
    let mut edges: HashMap<i64, BTreeMap<i64, bool>> = HashMap::new();
    for (ix, rows) in &batch.types {
        for site in &mapping.resource(*ix).references {
            let Some(table) = rows.tables.get(site.table) else { continue };
            for at in 0..table.len() {
                if let (Some(parent), Some(child)) = (table.document_id(at), table.id(at, site.column)) {
                    *edges.entry(parent).or_default().entry(child).or_insert(false) |= site.is_identity_component;
                }
            }
        }
    }
    edges
}

fn descriptor_repair(row: &DescriptorColumns, key: i16) -> Option<DescriptorRepair> {
    let uri = format!("{}#{}", row.namespace, row.code_value);
    let uri_lower = lower_uri(&uri);
    let uri_changed = row.uri != uri;
    let is_right = !uri_changed && row.uri_lower == uri_lower && row.key == key;
    (!is_right).then_some(DescriptorRepair { uri, uri_lower, uri_changed })
}

fn cache_repair(row: &CachedHead, head: &DocumentHead) -> Option<CacheRepair> {
    if row.version > head.content_version {
        return Some(CacheRepair::Ahead);
    }
    let same_head = row.uuid == head.uuid
        && row.key == head.key
        && (row.version < head.effective_version
            || whole_seconds(row.last_modified) == whole_seconds(head.last_modified));
    (!same_head).then_some(CacheRepair::Head)
}
