//! The rows of `dms.ReferentialIdentity` that follow from a document's identity.

use millstream_schema::plan::ResourcePlan;
use millstream_schema::referential::{lower_uri, referential_id};
use millstream_store::table::identity::NewIdentity;

/// The identity rows of one document: its own, and that of its superclass (docs/design/edfi-identity.md#edfi-2.6).
pub(crate) fn identity_rows(resource: &ResourcePlan, document_id: i64, values: &[String]) -> Vec<NewIdentity> {
    let plan = &resource.identity;
    let hashed: Vec<String> = plan
        .elements
        .iter()
        .zip(values)
        .map(|(element, value)| if element.lower_case { lower_uri(value) } else { value.clone() })
        .collect();
    let own = plan.elements.iter().zip(&hashed).map(|(element, value)| (element.path.as_str(), value.as_str()));
    let mut rows = vec![NewIdentity {
        referential_id: referential_id(&resource.project_name, &resource.resource_name, own),
        document_id,
        key: resource.key,
        values: values.to_vec(),
    }];
    if let Some(superclass) = &plan.superclass {
        let elements = superclass.paths.iter().zip(&hashed).map(|(path, value)| (path.as_str(), value.as_str()));
        rows.push(NewIdentity {
            referential_id: referential_id(&superclass.project_name, &superclass.resource_name, elements),
            document_id,
            key: superclass.key,
            values: values.to_vec(),
        });
    }
    rows
}
