//! Lookups of a batch: identities of referenced documents and URIs of descriptors.

use super::identities::{IdentityValues, load_identities};
use super::remembered::Memory;
use super::rows::Batch;
use crate::connect::GenericClient;
use crate::error::StoreError;
use crate::table::descriptor;
use millstream_schema::plan::{Mapping, ResourceKeyId};
use std::collections::HashMap;
use std::sync::Arc;

/// Identities and descriptor URIs by DocumentId.
#[derive(Debug, Default)]
pub(crate) struct Lookups {
    pub(crate) identities: HashMap<i64, IdentityValues>,
    pub(crate) descriptors: HashMap<i64, Arc<str>>,
}

/// Finds everything that the rows of a batch point to: from memory where it cannot change, else with one statement for
/// all identities and one for all descriptors. What does not exist is missing from the answer.
pub(crate) async fn load_lookups<C: GenericClient>(
    client: &C,
    mapping: &Mapping,
    memory: &Memory,
    batch: &Batch,
) -> Result<Lookups, StoreError> {
    let wanted = ReferencedKeys::of(mapping, batch);
    let mut lookups = Lookups::default();
    let mut documents: Vec<i64> = wanted.documents.iter().filter(|(_, fixed)| !**fixed).map(|(id, _)| *id).collect();
    let fixed = wanted.documents.iter().filter(|(_, fixed)| **fixed).map(|(id, _)| *id);
    documents.extend(memory.identities.take_known(fixed, &mut lookups.identities));
    documents.sort_unstable();
    let mut descriptors = memory.descriptors.take_known(wanted.descriptors, &mut lookups.descriptors);
    descriptors.sort_unstable();

    let (identities, uris) =
        futures::join!(load_identities(client, mapping, &documents), load_descriptors(client, &descriptors));
    let (identities, uris) = (identities?, uris?);
    let is_fixed = |id: &i64| wanted.documents.get(id).copied().unwrap_or(false);
    memory.identities.remember(identities.iter().filter(|(id, _)| is_fixed(id)).map(|(id, v)| (*id, v)));
    lookups.identities.extend(identities);
    let uris: HashMap<i64, Arc<str>> = uris.into_iter().map(|(id, found)| (id, found.uri)).collect();
    memory.descriptors.remember(uris.iter().map(|(id, uri)| (*id, uri)));
    lookups.descriptors.extend(uris);
    Ok(lookups)
}

/// A descriptor as a referrer needs it.
#[derive(Debug, Clone)]
pub(crate) struct LoadedDescriptor {
    pub(crate) uri: Arc<str>,
    pub(crate) key: ResourceKeyId,
}

/// Reads descriptors by DocumentId.
pub(crate) async fn load_descriptors<C: GenericClient>(
    client: &C,
    ids: &[i64],
) -> Result<HashMap<i64, LoadedDescriptor>, StoreError> {
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let rows = descriptor::by_id(client, ids).await?;
    let entry =
        |row: descriptor::DescriptorUri| (row.document_id, LoadedDescriptor { uri: row.uri.into(), key: row.key });
    Ok(rows.into_iter().map(entry).collect())
}

/// The surrogate keys that occur in the rows of a batch.
struct ReferencedKeys {
    /// Referenced document → whether some reference to it says that its identity cannot change.
    documents: HashMap<i64, bool>,
    descriptors: Vec<i64>,
}

impl ReferencedKeys {
    fn of(mapping: &Mapping, batch: &Batch) -> Self {
        let mut documents = HashMap::new();
        let mut descriptors = Vec::new();
        for (ix, rows) in &batch.types {
            let plan = mapping.resource(*ix);
            for site in &plan.references {
                for id in rows.ids_in(site.table, site.column) {
                    *documents.entry(id).or_insert(false) |= !site.target_changeable;
                }
            }
            for site in &plan.descriptors {
                descriptors.extend(rows.ids_in(site.table, site.column));
            }
        }
        descriptors.sort_unstable();
        descriptors.dedup();
        Self { documents, descriptors }
    }
}
