//! Coercion and pruning, in place and in one walk: the result has only members of the schema, no nulls, no empty arrays
//! or objects (docs/design/rules.md#rule-26), and scalars in their JSON types.

use super::findings::Findings;
use super::scalar;
use millstream_schema::plan::{Extension, Item, Node, Object, ResourcePlan};
use serde_json::{Map, Value};

/// Shapes a body. Only an unknown project under `_ext` is a finding; every other surplus member is dropped.
pub(super) fn shape(resource: &ResourcePlan, body: &mut Map<String, Value>, findings: &mut Findings) {
    let shaper = Shaper { resource };
    shaper.object(&resource.body, body, "$", findings);
    if resource.is_descriptor {
        for name in ["codeValue", "shortDescription"] {
            if let Some(Value::String(text)) = body.get_mut(name) {
                *text = text.trim().to_owned();
            }
        }
    }
}

struct Shaper<'p> {
    resource: &'p ResourcePlan,
}

impl Shaper<'_> {
    fn object(&self, plan: &Object, object: &mut Map<String, Value>, path: &str, findings: &mut Findings) {
        object.retain(|name, _| plan.members.iter().any(|member| member.name == *name));
        for member in &plan.members {
            if let Some(value) = object.get_mut(&member.name) {
                let at = format!("{path}.{}", member.name);
                self.node(&member.node, value, &at, findings);
                if is_empty(value) {
                    object.shift_remove(&member.name);
                }
            }
        }
    }

    fn node(&self, node: &Node, value: &mut Value, path: &str, findings: &mut Findings) {
        match (node, value) {
            (Node::Scalar { ty, .. }, value) => scalar::coerce(value, *ty),
            (Node::Descriptor { .. }, _) => {}
            (Node::Reference { site }, Value::Object(reference)) => {
                let members = &self.resource.references[*site].members;
                reference.retain(|name, value| !value.is_null() && members.iter().any(|member| member.name == *name));
                for member in members {
                    if let Some(value) = reference.get_mut(&member.name) {
                        scalar::coerce(value, member.ty);
                    }
                }
            }
            (Node::Object(plan), Value::Object(object)) => self.object(plan, object, path, findings),
            (Node::Array(array), Value::Array(items)) => {
                for (index, item) in items.iter_mut().enumerate() {
                    let at = format!("{path}[{index}]");
                    match (&array.item, item) {
                        (Item::Object(plan), Value::Object(object)) => self.object(plan, object, &at, findings),
                        (Item::Value(node), item) => self.node(node, item, &at, findings),
                        _ => {}
                    }
                }
                items.retain(|item| !is_empty(item));
            }
            (Node::Extension(extension), Value::Object(projects)) => {
                self.extension(extension, projects, path, findings);
            }
            // The wrong JSON type: validation reports it.
            _ => {}
        }
    }

    /// Finds each key by endpoint, then by project name, ignoring case, and renames it to the endpoint
    /// (docs/design/edfi-model.md#edfi-4.9).
    fn extension(&self, plan: &Extension, projects: &mut Map<String, Value>, path: &str, findings: &mut Findings) {
        let mut found = Map::new();
        for (key, mut value) in std::mem::take(projects) {
            let by_endpoint = plan.projects.iter().find(|p| p.endpoint.eq_ignore_ascii_case(&key));
            let project =
                by_endpoint.or_else(|| plan.projects.iter().find(|p| p.project_name.eq_ignore_ascii_case(&key)));
            let at = format!("{path}.{key}");
            let Some(project) = project else {
                let known: Vec<&str> = plan.projects.iter().map(|p| p.endpoint.as_str()).collect();
                findings.add(&at, format!("Unknown extension '{key}'. Known here: {}.", known.join(", ")));
                continue;
            };
            if let Value::Object(object) = &mut value {
                self.object(&project.object, object, &at, findings);
            }
            if !is_empty(&value) && found.insert(project.endpoint.clone(), value).is_some() {
                findings.add(&at, format!("Extension '{}' is given twice.", project.endpoint));
            }
        }
        *projects = found;
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
        _ => false,
    }
}
