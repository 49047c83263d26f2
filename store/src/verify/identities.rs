//! Stored identities against computed ones (IDENTITY).

use super::computed::ComputedIdentities;
use super::range::Range;
use super::report::{DifferenceKind, Report, shorten};
use crate::connect::GenericClient;
use crate::error::StoreError;
use crate::table::identity::{self, StoredIdentity};
use millstream_schema::plan::{ResourceKeyId, ResourcePlan};
use millstream_schema::referential::{lower_uri, referential_id};
use std::collections::HashMap;
use uuid::Uuid;

/// Compares the rows of `dms.ReferentialIdentity` with the identities computed from the tables, both ways.
pub(super) async fn check<C: GenericClient>(
    client: &C,
    range: &Range<'_>,
    computed: &ComputedIdentities,
    report: &mut Report,
) -> Result<(), StoreError> {
    let mut stored: HashMap<(i64, ResourceKeyId), StoredIdentity> = HashMap::new();
    for row in identity::rows(client, &range.ids).await? {
        stored.insert((row.document_id, row.key), row);
    }
    for (head, plan) in range.known() {
        let id = head.document_id;
        match computed.identity(id) {
            Some(Ok(values)) => {
                for (key, referential_id) in expected_ids(plan, values) {
                    compare(range, report, (id, key), referential_id, values, stored.remove(&(id, key)));
                }
            }
            Some(Err(reason)) => {
                let expected = "an identity".to_owned();
                range.differs(report, DifferenceKind::IdentityUncomputable, id, expected, reason.to_string());
                stored.retain(|(of, _), _| *of != id);
            }
            None => {}
        }
    }
    for ((id, key), extra) in stored {
        let found = format!("{} under type {key}", extra.referential_id);
        range.differs(report, DifferenceKind::IdentityUnexpected, id, "no such row".to_owned(), found);
    }
    Ok(())
}

/// The ReferentialIds of a document: under its own type, and under its superclass if it has one.
fn expected_ids(plan: &ResourcePlan, values: &[Box<str>]) -> Vec<(ResourceKeyId, Uuid)> {
    let elements = &plan.identity.elements;
    let hashed: Vec<String> = elements
        .iter()
        .zip(values)
        .map(|(element, value)| if element.lower_case { lower_uri(value) } else { value.to_string() })
        .collect();
    let own = elements.iter().zip(&hashed).map(|(element, value)| (element.path.as_str(), value.as_str()));
    let mut ids = vec![(plan.key, referential_id(&plan.project_name, &plan.resource_name, own))];
    if let Some(superclass) = &plan.identity.superclass {
        let elements = superclass.paths.iter().zip(&hashed).map(|(path, value)| (path.as_str(), value.as_str()));
        ids.push((superclass.key, referential_id(&superclass.project_name, &superclass.resource_name, elements)));
    }
    ids
}

fn compare(
    range: &Range<'_>,
    report: &mut Report,
    (id, key): (i64, ResourceKeyId),
    referential_id: Uuid,
    values: &[Box<str>],
    stored: Option<StoredIdentity>,
) {
    let Some(stored) = stored else {
        let expected = format!("{referential_id} under type {key}");
        range.differs(report, DifferenceKind::IdentityMissing, id, expected, "no row".to_owned());
        return;
    };
    if stored.referential_id != referential_id {
        let (expected, found) = (referential_id.to_string(), stored.referential_id.to_string());
        range.differs(report, DifferenceKind::ReferentialId, id, expected, found);
    }
    let same = stored.values.len() == values.len()
        && stored.values.iter().zip(values).all(|(stored, value)| stored.as_deref() == Some(&**value));
    if !same {
        let (expected, found) = shorten(&format!("{values:?}"), &format!("{:?}", stored.values));
        range.differs(report, DifferenceKind::IdentityValues, id, expected, found);
    }
}
