//! Whether the stored identity of a document is the one that its rows make.

use crate::identity_rows::identity_rows;
use millstream_schema::plan::{Mapping, ResourceKeyId, ResourcePlan};
use millstream_store::connect::GenericClient;
use millstream_store::error::StoreError;
use millstream_store::load::{DocumentHead, heads_by_id};
use millstream_store::repair::compute_identities;
use millstream_store::table::identity::{self, NewIdentity, StoredIdentity};
use std::collections::HashMap;

/// The decision for one document.
#[derive(Debug)]
pub(super) struct Decided {
    pub(super) head: DocumentHead,
    pub(super) decision: IdentityDecision,
}

/// The treatment of the identity rows of a document.
#[derive(Debug)]
pub(super) enum IdentityDecision {
    /// They are those that its rows make.
    Right,
    /// Replace them by these rows.
    Rewrite {
        rows: Vec<NewIdentity>,
        /// The values that other documents embed change.
        propagates: bool,
    },
    /// The rows make no identity, for this reason.
    Uncomputable(String),
}

/// Decides for these documents, as `client` sees them. Documents that do not exist or have an unknown type are left out.
pub(super) async fn decide<C: GenericClient>(
    client: &C,
    mapping: &Mapping,
    ids: &[i64],
) -> Result<Vec<Decided>, StoreError> {
    let mut computed = compute_identities(client, mapping, ids).await?;
    let mut stored: HashMap<i64, Vec<StoredIdentity>> = HashMap::new();
    for row in identity::rows(client, ids).await? {
        stored.entry(row.document_id).or_default().push(row);
    }
    let abstracts: Vec<ResourceKeyId> = mapping.abstracts.iter().map(|of| of.key).collect();
    let decided = heads_by_id(client, ids).await?.into_iter().filter_map(|head| {
        let resource = mapping.resource(mapping.by_key(head.key)?);
        let stored = stored.remove(&head.document_id).unwrap_or_default();
        let decision = match computed.remove(&head.document_id)? {
            Ok(values) => compare(resource, &abstracts, head.document_id, &values, &stored),
            Err(reason) => IdentityDecision::Uncomputable(reason),
        };
        Some(Decided { head, decision })
    });
    Ok(decided.collect())
}

fn compare(
    resource: &ResourcePlan,
    abstracts: &[ResourceKeyId],
    document_id: i64,
    values: &[String],
    stored: &[StoredIdentity],
) -> IdentityDecision {
    let rows = identity_rows(resource, document_id, values);
    let same_values = |stored: &StoredIdentity| {
        stored.values.len() == values.len() && stored.values.iter().zip(values).all(|(a, b)| a.as_ref() == Some(b))
    };
    let has = |row: &NewIdentity| {
        let same = |stored: &&StoredIdentity| stored.key == row.key && stored.referential_id == row.referential_id;
        stored.iter().find(same).is_some_and(same_values)
    };
    if stored.len() == rows.len() && rows.iter().all(has) {
        return IdentityDecision::Right;
    }
    // The composer takes the values from the row that is not an alias under an abstract type.
    let mut read = stored.iter().filter(|row| !abstracts.contains(&row.key));
    let propagates =
        !matches!((read.next(), read.next()), (Some(row), None) if row.key == resource.key && same_values(row));
    IdentityDecision::Rewrite { rows, propagates }
}
