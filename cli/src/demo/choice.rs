//! The choice of documents to rename: those whose identity most others embed. Reads the file twice.

use crate::{
    failure::Failure,
    load::{Input, Lines},
};
use millstream_schema::plan::{ColumnType, IdentitySource, Mapping, ResourceIx, ResourcePlan};
use serde_json::{Map, Value};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::Path,
    sync::Arc,
};

/// Renames that a demo shows.
const RENAMES: usize = 2;
/// Types that are renamed if the data has them, because every reader knows them.
const PREFERRED: [&str; 2] = ["sessions", "classPeriods"];
/// Dependents of one rename that are shown, each of another type.
const SHOWN: usize = 4;

/// A document that many others embed.
#[derive(Debug)]
pub(super) struct Choice {
    /// Its type.
    pub(super) resource: ResourceIx,
    /// Its body, as loaded.
    pub(super) body: Value,
    /// The member that gets another value.
    pub(super) member: String,
    /// Number of documents that embed its identity.
    pub(super) dependents: u64,
    /// Some of these documents, each of another type, with the number of documents of that type.
    pub(super) shown: Vec<(ResourceIx, Value, u64)>,
}

/// A type whose documents may be renamed.
struct Candidate {
    resource: ResourceIx,
    /// Last parts of its identity paths: the members of every object that embeds the identity.
    leaves: Vec<String>,
    /// The member of the body that is renamed.
    member: String,
    /// Number of documents that embed each identity.
    embedded: HashMap<String, u64>,
}

impl Candidate {
    fn of(ix: ResourceIx, resource: &ResourcePlan) -> Option<Self> {
        if !resource.allow_identity_updates {
            return None;
        }
        let member = resource.identity.elements.iter().find_map(|element| match element.source {
            IdentitySource::Column { .. } if element.ty == ColumnType::Text => {
                element.path.strip_prefix("$.").filter(|name| !name.contains('.'))
            }
            _ => None,
        })?;
        let leaves = resource.identity.elements.iter().map(|element| leaf(&element.path)).collect::<BTreeSet<_>>();
        Some(Self {
            resource: ix,
            leaves: leaves.into_iter().collect(),
            member: member.to_owned(),
            embedded: HashMap::new(),
        })
    }

    /// Returns the identity that an object embeds, if it has all members of one.
    fn embedded_in(&self, object: &Map<String, Value>) -> Option<String> {
        let values: Option<Vec<&Value>> = self.leaves.iter().map(|leaf| object.get(leaf)).collect();
        values.map(|values| serde_json::to_string(&values).unwrap_or_default())
    }

    /// Returns the identity of a document of this type.
    fn identity_of(&self, resource: &ResourcePlan, body: &Value) -> Option<String> {
        let by_leaf: BTreeMap<String, &Value> = resource
            .identity
            .elements
            .iter()
            .filter_map(|element| Some((leaf(&element.path), at_path(body, &element.path)?)))
            .collect();
        let values: Option<Vec<&&Value>> = self.leaves.iter().map(|leaf| by_leaf.get(leaf)).collect();
        values.map(|values| serde_json::to_string(&values).unwrap_or_default())
    }
}

/// Returns the most embedded document of each of the best types.
pub(super) fn choose(mapping: &Mapping, documents: &Path) -> Result<Vec<Choice>, Failure> {
    let mut candidates: Vec<Candidate> = mapping.iter().filter_map(|(ix, plan)| Candidate::of(ix, plan)).collect();
    for_each(mapping, documents, |_, body| {
        for candidate in &mut candidates {
            let mut found = BTreeSet::new();
            embedded(candidate, &body, &mut found);
            found.into_iter().for_each(|identity| *candidate.embedded.entry(identity).or_default() += 1);
        }
    })?;
    let mut best: Vec<(bool, u64, String, Candidate)> = candidates
        .into_iter()
        .filter_map(|candidate| {
            let most = candidate.embedded.iter().max_by_key(|(identity, count)| (**count, (*identity).clone()));
            let (identity, count) = most.map(|(identity, count)| (identity.clone(), *count))?;
            let preferred = PREFERRED.contains(&mapping.resource(candidate.resource).endpoint.as_str());
            Some((preferred, count, identity, candidate))
        })
        .collect();
    best.sort_by_key(|best| std::cmp::Reverse((best.0, best.1)));
    best.truncate(RENAMES);
    best.into_iter()
        .map(|(_, count, identity, candidate)| look_up(mapping, documents, count, &identity, &candidate))
        .collect()
}

/// Finds the document itself and examples of its dependents.
fn look_up(
    mapping: &Mapping,
    documents: &Path,
    dependents: u64,
    identity: &str,
    candidate: &Candidate,
) -> Result<Choice, Failure> {
    let mut itself = None;
    let mut shown: BTreeMap<ResourceIx, (Value, u64)> = BTreeMap::new();
    let mut order = Vec::new();
    for_each(mapping, documents, |ix, body| {
        if ix == candidate.resource && candidate.identity_of(mapping.resource(ix), &body).as_deref() == Some(identity) {
            itself = Some(body);
            return;
        }
        let mut found = BTreeSet::new();
        embedded(candidate, &body, &mut found);
        if found.contains(identity) {
            let entry = shown.entry(ix).or_insert_with(|| {
                order.push(ix);
                (body, 0)
            });
            entry.1 += 1;
        }
    })?;
    let body =
        itself.ok_or_else(|| Failure::failed("the data holds references to a document that it does not hold"))?;
    let shown = order.into_iter().filter_map(|ix| shown.remove(&ix).map(|(body, count)| (ix, body, count)));
    Ok(Choice {
        resource: candidate.resource,
        body,
        member: candidate.member.clone(),
        dependents,
        shown: shown.take(SHOWN).collect(),
    })
}

/// Collects the identities that the objects inside a body embed. The body itself is the document's own.
fn embedded(candidate: &Candidate, value: &Value, found: &mut BTreeSet<String>) {
    let inner: Vec<&Value> = match value {
        Value::Object(object) => object.values().collect(),
        Value::Array(items) => items.iter().collect(),
        _ => return,
    };
    for value in inner {
        if let Value::Object(object) = value {
            found.extend(candidate.embedded_in(object));
        }
        embedded(candidate, value, found);
    }
}

fn for_each(mapping: &Mapping, documents: &Path, mut visit: impl FnMut(ResourceIx, Value)) -> Result<(), Failure> {
    let lines = Lines::open(&Input::File(documents.to_owned()), Arc::default()).map_err(Failure::failed)?;
    for line in lines {
        // The load reports lines that are not documents.
        let Ok(line) = line.map_err(Failure::failed)? else { continue };
        if let (Some(ix), Ok(body)) = (mapping.route(&line.project, &line.resource), serde_json::from_slice(&line.body))
        {
            visit(ix, body);
        }
    }
    Ok(())
}

/// Returns the query that finds a document by its identity. Two elements may share a field.
pub(super) fn identity_query(resource: &ResourcePlan, body: &Value) -> BTreeMap<String, String> {
    let elements = resource.identity.elements.iter();
    let query = elements.filter_map(|element| {
        let mut fields = resource.query_fields.values();
        let field = fields.find(|field| field.paths.iter().any(|path| path.path == element.path))?;
        let text = match at_path(body, &element.path)? {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        Some((field.name.clone(), text))
    });
    query.collect()
}

fn leaf(path: &str) -> String {
    path.rsplit('.').next().unwrap_or(path).to_owned()
}

/// Returns the value at a path of plain members.
fn at_path<'v>(body: &'v Value, path: &str) -> Option<&'v Value> {
    path.strip_prefix("$.")?.split('.').try_fold(body, |value, member| value.get(member))
}
