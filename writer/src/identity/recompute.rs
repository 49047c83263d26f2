//! New identity values for every member of a closure, type by type, referenced before referring.

use super::closure::Closure;
use crate::attempt::AttemptError;
use crate::error::WriteError;
use crate::identity_rows::identity_rows;
use crate::resolve::Binding;
use crate::upsert_request::UpsertRequest;
use millstream_schema::plan::{IdentitySource, Mapping, ResourceKeyId, ResourcePlan};
use millstream_store::table::identity::{self, NewIdentity};
use millstream_store::transaction::{StatementRef, WriteTransaction, param};
use std::collections::{HashMap, HashSet};
use tokio_postgres::Row;

/// Identity values of one member, before and after.
#[derive(Debug, Clone)]
pub(crate) struct ChangedIdentity {
    pub(crate) key: ResourceKeyId,
    pub(crate) old: Vec<String>,
    pub(crate) new: Vec<String>,
}

/// All members' identity values.
#[derive(Debug)]
pub(crate) struct Identities(HashMap<i64, ChangedIdentity>);

impl Identities {
    /// Computes the values of the whole closure; the renamed document's come from its body.
    pub(crate) async fn recompute(
        transaction: &WriteTransaction,
        request: &UpsertRequest<'_>,
        closure: &Closure,
        seed: i64,
        binding: &Binding,
    ) -> Result<Self, AttemptError> {
        let mut all = Self(HashMap::with_capacity(closure.len()));
        let mut keys: Vec<ResourceKeyId> = closure.members().map(|member| member.key).collect();
        keys.dedup();
        for key in keys {
            let resource = resource_of(request.mapping, key)?;
            let members: Vec<i64> = closure.members().filter(|m| m.key == key).map(|m| m.document_id).collect();
            let mut pipeline = transaction.pipeline()?;
            let identities = identity::values_of_type(&mut pipeline, members.clone(), key);
            let sites = identity_sites(resource);
            let roots: StatementRef<Row> = pipeline.add(root_references(resource, &sites), vec![param(members)]);
            let answers = pipeline.run().await?;
            let rows = answers.rows(identities)?.into_iter();
            let old: HashMap<i64, Vec<String>> = rows.map(|row| (row.document_id, row.values)).collect();
            for row in answers.raw(roots) {
                let (id, targets) = read_root(row, sites.len())?;
                let old = old.get(&id).cloned().ok_or_else(|| {
                    WriteError::internal(format!("document {id} of {} has no identity row", resource.resource_name))
                })?;
                let new = if id == seed {
                    binding.identity_values(resource, request.flat)?
                } else {
                    all.follow(resource, &sites, &targets, &old)?
                };
                all.0.insert(id, ChangedIdentity { key, old, new });
            }
        }
        if all.0.len() == closure.len() {
            Ok(all)
        } else {
            Err(WriteError::internal("a closure member has no root row").into())
        }
    }

    /// A member's new values: its own stay; those that come through references to earlier members are theirs.
    fn follow(
        &self,
        resource: &ResourcePlan,
        sites: &[usize],
        targets: &[Option<i64>],
        old: &[String],
    ) -> Result<Vec<String>, WriteError> {
        let mut new = old.to_vec();
        for (at, element) in resource.identity.elements.iter().enumerate() {
            let IdentitySource::Reference { site, position } = &element.source else { continue };
            let target = sites.iter().position(|s| s == site).and_then(|s| targets[s]);
            let Some(changed) = target.and_then(|id| self.0.get(&id)) else { continue };
            let value = changed.new.get(*position).zip(new.get_mut(at));
            let (value, place) = value.ok_or_else(|| WriteError::internal("an identity is shorter than its plan"))?;
            place.clone_from(value);
        }
        Ok(new)
    }

    pub(crate) fn get(&self, document_id: i64) -> Option<&ChangedIdentity> {
        self.0.get(&document_id)
    }

    /// Members whose value at a position changed and whose type (or superclass) has this key.
    pub(crate) fn changed_at(&self, mapping: &Mapping, key: ResourceKeyId, position: usize) -> Vec<i64> {
        let is_of = |own: ResourceKeyId| {
            own == key
                || resource_of(mapping, own).is_ok_and(|r| r.identity.superclass.as_ref().is_some_and(|s| s.key == key))
        };
        let mut ids: Vec<i64> = self
            .0
            .iter()
            .filter(|(_, changed)| changed.old.get(position) != changed.new.get(position) && is_of(changed.key))
            .map(|(id, _)| *id)
            .collect();
        ids.sort_unstable();
        ids
    }

    /// The identity rows of all members.
    pub(crate) fn rows(&self, mapping: &Mapping, closure: &Closure) -> Result<Vec<NewIdentity>, WriteError> {
        let mut rows = Vec::with_capacity(closure.len());
        for member in closure.members() {
            let resource = resource_of(mapping, member.key)?;
            if let Some(changed) = self.0.get(&member.document_id) {
                rows.extend(identity_rows(resource, member.document_id, &changed.new));
            }
        }
        Ok(rows)
    }
}

pub(super) fn resource_of(mapping: &Mapping, key: ResourceKeyId) -> Result<&ResourcePlan, WriteError> {
    let ix = mapping.by_key(key).ok_or_else(|| WriteError::internal(format!("resource key {key} is unknown")))?;
    Ok(mapping.resource(ix))
}

/// Reference sites that identity values come from, each once.
fn identity_sites(resource: &ResourcePlan) -> Vec<usize> {
    let mut seen = HashSet::new();
    let sites = resource.identity.elements.iter().filter_map(|element| match element.source {
        IdentitySource::Reference { site, .. } => Some(site),
        _ => None,
    });
    sites.filter(|site| seen.insert(*site)).collect()
}

/// The statement that [`read_root`] reads: `DocumentId`, then the columns of the sites, by position.
fn root_references(resource: &ResourcePlan, sites: &[usize]) -> String {
    let root = &resource.tables[0];
    let column =
        |site: &usize| format!(", \"{}\"", root.columns[resource.references[*site].column].name.replace('"', "\"\""));
    let columns: String = sites.iter().map(column).collect();
    format!("SELECT \"DocumentId\"{columns} FROM {} WHERE \"DocumentId\" = ANY($1::int8[])", root.qualified)
}

fn read_root(row: &Row, sites: usize) -> Result<(i64, Vec<Option<i64>>), AttemptError> {
    let targets = (1..=sites).map(|at| row.try_get(at)).collect::<Result<_, _>>()?;
    Ok((row.try_get("DocumentId")?, targets))
}
