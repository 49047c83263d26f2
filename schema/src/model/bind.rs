//! Bind pass: binds references and descriptors to their target types and identities to the columns that store them, and
//! marks the types whose identity can change.

use super::merge::MergedResource;
use super::types::{AbstractModel, ResourceModel};
use crate::apischema::{RawArrayUniqueness, path as paths};
use crate::mapping::{
    ArrayUniqueness, ColumnType, DescriptorColumn, IdentityElement, IdentityPlan, IdentitySource, ResourceIx,
    Superclass,
};
use crate::referential::is_descriptor_path;
use std::collections::{BTreeMap, BTreeSet};

/// Binds everything; returns the resources in identity order.
pub(crate) fn bind(
    merged: &[MergedResource<'_>],
    resources: &mut [ResourceModel],
    abstracts: &[AbstractModel],
    errors: &mut Vec<String>,
) -> Vec<ResourceIx> {
    bind_targets(merged, resources, abstracts, errors);
    if !errors.is_empty() {
        return Vec::new();
    }
    for (resource, from) in resources.iter_mut().zip(merged) {
        bind_identity(resource, from, abstracts, errors);
        bind_array_uniqueness(resource, from);
    }
    if !errors.is_empty() {
        return Vec::new();
    }
    descriptor_values(resources);
    let depends = identity_dependencies(resources);
    mark_changeable(resources, &depends);
    identity_order(&depends, resources, errors)
}

fn bind_targets(
    merged: &[MergedResource<'_>],
    resources: &mut [ResourceModel],
    abstracts: &[AbstractModel],
    errors: &mut Vec<String>,
) {
    let mut targets: BTreeMap<(String, String), (i16, bool, Vec<String>)> = BTreeMap::new();
    for resource in resources.iter() {
        let base = merged.iter().find(|m| m.key == resource.key).map(|m| m.base.identity_json_paths.clone());
        let name = (resource.project_name.clone(), resource.resource_name.clone());
        targets.insert(name, (resource.key, false, base.unwrap_or_default()));
    }
    for target in abstracts {
        let name = (target.project_name.clone(), target.resource_name.clone());
        targets.insert(name, (target.key, true, target.identity_json_paths.clone()));
    }
    for (resource, from) in resources.iter_mut().zip(merged) {
        let label = from.label();
        for site in &mut resource.descriptors {
            match targets.get(&(site.target_project.clone(), site.target_resource.clone())) {
                Some((key, false, _)) => site.target_key = *key,
                _ => errors.push(format!(
                    "{label}: {}: descriptor type {}.{} does not exist",
                    site.path, site.target_project, site.target_resource
                )),
            }
        }
        let identity: BTreeSet<&str> = from.base.identity_json_paths.iter().map(String::as_str).collect();
        for site in &mut resource.references {
            let Some((key, is_abstract, target_identity)) =
                targets.get(&(site.target_project.clone(), site.target_resource.clone()))
            else {
                errors.push(format!(
                    "{label}: {}: referenced type {}.{} does not exist",
                    site.path, site.target_project, site.target_resource
                ));
                continue;
            };
            (site.target_key, site.target_abstract) = (*key, *is_abstract);
            let in_identity = |name: &str| identity.contains(format!("{}.{name}", site.path).as_str());
            site.is_identity_component = site.members.iter().any(|member| in_identity(&member.name));
            for member in &mut site.members {
                let path = &site.elements[member.position].0;
                match target_identity.iter().position(|p| p == path) {
                    Some(position) => member.position = position,
                    None => errors.push(format!(
                        "{label}: {}: identityJsonPath {path} is not in the identity of {}.{}",
                        site.path, site.target_project, site.target_resource
                    )),
                }
            }
            if site.elements.len() != target_identity.len() {
                errors.push(format!(
                    "{label}: {}: names {} of the {} identity paths of {}.{}",
                    site.path,
                    site.elements.len(),
                    target_identity.len(),
                    site.target_project,
                    site.target_resource
                ));
            }
        }
    }
}

fn bind_identity(
    resource: &mut ResourceModel,
    from: &MergedResource<'_>,
    abstracts: &[AbstractModel],
    errors: &mut Vec<String>,
) {
    let mut elements = Vec::new();
    if resource.is_descriptor {
        let source = IdentitySource::Column { column: DescriptorColumn::Uri.index() };
        elements.push(IdentityElement {
            path: "$.descriptor".to_owned(),
            ty: ColumnType::Text,
            lower_case: true,
            source,
        });
    }
    for path in &from.base.identity_json_paths {
        if resource.is_descriptor {
            continue;
        }
        match identity_element(resource, path) {
            Some(element) => elements.push(element),
            None => errors.push(format!(
                "{}: identityJsonPaths: {path} is not a required value of the body's root",
                from.label()
            )),
        }
    }
    for element in &elements {
        let column = match element.source {
            IdentitySource::Column { column } => column,
            IdentitySource::Descriptor { site } => resource.descriptors[site].column,
            IdentitySource::Reference { site, .. } => resource.references[site].column,
        };
        resource.tables[0].columns[column].required = true;
    }
    for site in resource.references.iter_mut().filter(|site| site.is_identity_component) {
        site.required = true;
    }
    let superclass = superclass(from, &elements, abstracts, errors);
    resource.identity = IdentityPlan { elements, superclass };
}

fn identity_element(resource: &ResourceModel, path: &str) -> Option<IdentityElement> {
    let element = |ty, lower_case, source| Some(IdentityElement { path: path.to_owned(), ty, lower_case, source });
    if let Some(site) = resource.descriptors.iter().position(|s| s.path == path && s.table == 0) {
        return element(ColumnType::Text, true, IdentitySource::Descriptor { site });
    }
    if let Some(site) = resource.references.iter().position(|s| s.path == paths::parent(path) && s.table == 0) {
        let member = resource.references[site].members.iter().find(|m| m.name == paths::leaf(path))?;
        let source = IdentitySource::Reference { site, position: member.position };
        return element(member.ty, is_descriptor_path(path), source);
    }
    let (table, column) = *resource.columns_by_path.get(path)?;
    let ty = resource.tables[table].columns[column].ty;
    (table == 0).then_some(IdentityElement {
        path: path.to_owned(),
        ty,
        lower_case: is_descriptor_path(path),
        source: IdentitySource::Column { column },
    })
}

fn superclass(
    from: &MergedResource<'_>,
    elements: &[IdentityElement],
    abstracts: &[AbstractModel],
    errors: &mut Vec<String>,
) -> Option<Superclass> {
    if !from.base.is_subclass {
        return None;
    }
    let (project, name) =
        (from.base.superclass_project_name.as_deref()?, from.base.superclass_resource_name.as_deref()?);
    let Some(target) = abstracts.iter().find(|a| a.project_name == project && a.resource_name == name) else {
        errors.push(format!("{}: superclass {project}.{name} is not an abstract resource", from.label()));
        return None;
    };
    let mut paths: Vec<String> = elements.iter().map(|e| e.path.clone()).collect();
    if let (Some(path), [_]) = (&from.base.superclass_identity_json_path, elements) {
        paths = vec![path.clone()];
    }
    if paths != target.identity_json_paths {
        errors.push(format!(
            "{}: its identity {paths:?} does not fit that of its superclass {project}.{name}: {:?}",
            from.label(),
            target.identity_json_paths
        ));
    }
    let (project_name, resource_name) = (project.to_owned(), name.to_owned());
    Some(Superclass { key: target.key, project_name, resource_name, paths })
}

/// Marks the identity values that are descriptor URIs, through any number of references: a document and those that
/// refer to it must hash a value in the same way, whatever the members are called.
fn descriptor_values(resources: &mut [ResourceModel]) {
    let mut of_key: BTreeMap<i16, Vec<bool>> = BTreeMap::new();
    loop {
        for resource in resources.iter() {
            let own = || resource.identity.elements.iter().map(|element| element.lower_case);
            let superclass = resource.identity.superclass.as_ref().map(|superclass| superclass.key);
            for key in std::iter::once(resource.key).chain(superclass) {
                let known = of_key.entry(key).or_insert_with(|| own().collect());
                known.iter_mut().zip(own()).for_each(|(known, own)| *known |= own);
            }
        }
        let mut marked = false;
        for resource in resources.iter_mut() {
            let sites = &resource.references;
            for element in resource.identity.elements.iter_mut().filter(|element| !element.lower_case) {
                if let IdentitySource::Reference { site, position } = element.source {
                    let target = of_key.get(&sites[site].target_key);
                    element.lower_case = target.and_then(|target| target.get(position)).copied().unwrap_or(false);
                    marked |= element.lower_case;
                }
            }
        }
        if !marked {
            break;
        }
    }
    for site in resources.iter_mut().flat_map(|resource| resource.references.iter_mut()) {
        let target = of_key.get(&site.target_key);
        for (position, (path, member)) in site.elements.iter().enumerate() {
            let known = target.and_then(|target| target.get(position)).copied().unwrap_or(false);
            site.members[*member].lower_case |= known || is_descriptor_path(path);
        }
    }
}

/// Returns, per resource, the resources that its identity takes values from. An abstract target stands for all its
/// subtypes.
fn identity_dependencies(resources: &[ResourceModel]) -> Vec<BTreeSet<usize>> {
    let mut by_key: BTreeMap<i16, Vec<usize>> = BTreeMap::new();
    for (ix, resource) in resources.iter().enumerate() {
        by_key.entry(resource.key).or_default().push(ix);
        if let Some(superclass) = &resource.identity.superclass {
            by_key.entry(superclass.key).or_default().push(ix);
        }
    }
    let sites =
        |r: &ResourceModel| r.references.iter().filter(|s| s.is_identity_component).map(|s| s.target_key).collect();
    let keys: Vec<BTreeSet<i16>> = resources.iter().map(sites).collect();
    keys.iter().map(|keys| keys.iter().filter_map(|key| by_key.get(key)).flatten().copied().collect()).collect()
}

/// Marks the types whose identity can change, by itself or through an identity that it contains. Subtypes of one
/// superclass count together: a reference to the superclass may lead to any of them, and its writer locks the target.
fn mark_changeable(resources: &mut [ResourceModel], depends: &[BTreeSet<usize>]) {
    let mut changeable: Vec<bool> = resources.iter().map(|r| r.allow_identity_updates).collect();
    let family = |ix: usize| resources[ix].identity.superclass.as_ref().map(|superclass| superclass.key);
    loop {
        let contains: Vec<bool> =
            depends.iter().zip(&changeable).map(|(on, own)| *own || on.iter().any(|ix| changeable[*ix])).collect();
        let families: BTreeSet<i16> = (0..contains.len()).filter(|ix| contains[*ix]).filter_map(family).collect();
        let next: Vec<bool> = (0..contains.len())
            .map(|ix| contains[ix] || family(ix).is_some_and(|superclass| families.contains(&superclass)))
            .collect();
        if next == changeable {
            break;
        }
        changeable = next;
    }
    let mut keys: BTreeSet<i16> = BTreeSet::new();
    for (resource, changeable) in resources.iter_mut().zip(changeable) {
        resource.changeable = changeable;
        if changeable {
            keys.insert(resource.key);
            keys.extend(resource.identity.superclass.as_ref().map(|s| s.key));
        }
    }
    for site in resources.iter_mut().flat_map(|r| r.references.iter_mut()) {
        site.target_changeable = keys.contains(&site.target_key);
    }
}

/// Orders the types so that each comes after all types that its identity depends on. Loading refuses cycles; a
/// remaining one is reported as an error instead of looping.
fn identity_order(
    depends: &[BTreeSet<usize>],
    resources: &[ResourceModel],
    errors: &mut Vec<String>,
) -> Vec<ResourceIx> {
    let mut order: Vec<usize> = Vec::new();
    let mut placed = vec![false; depends.len()];
    loop {
        let ready: Vec<usize> =
            (0..depends.len()).filter(|ix| !placed[*ix] && depends[*ix].iter().all(|on| placed[*on])).collect();
        if ready.is_empty() {
            break;
        }
        for ix in ready {
            placed[ix] = true;
            order.push(ix);
        }
    }
    for (resource, _) in resources.iter().zip(&placed).filter(|(_, placed)| !**placed) {
        errors.push(format!(
            "{}.{}: its identity depends on itself through its references: break the cycle",
            resource.project_name, resource.resource_name
        ));
    }
    order.into_iter().map(|ix| ResourceIx(ix as u32)).collect()
}

/// Converts array uniqueness constraints to the form that the writer checks: the items of one array, and tuples of
/// member paths below them.
fn bind_array_uniqueness(resource: &mut ResourceModel, from: &MergedResource<'_>) {
    let mut tuples = BTreeSet::new();
    for constraint in from.parts().flat_map(|part| &part.array_uniqueness_constraints) {
        collect_uniqueness(constraint, None, &mut tuples);
    }
    resource.array_uniqueness = tuples.into_iter().map(|(items, members)| ArrayUniqueness { items, members }).collect();
}

/// Items of an array, with the member paths of a tuple.
type UniqueTuple = (String, Vec<Vec<String>>);

fn collect_uniqueness(constraint: &RawArrayUniqueness, base: Option<&str>, tuples: &mut BTreeSet<UniqueTuple>) {
    let base = constraint.base_path.as_deref().or(base);
    let whole = |path: &String| match (base, path.strip_prefix("$.")) {
        (Some(base), Some(rest)) => format!("{base}.{rest}"),
        _ => path.clone(),
    };
    let paths: Vec<String> = constraint.paths.iter().map(whole).collect();
    let scopes: BTreeSet<&str> = paths.iter().map(|path| paths::array_scope(path)).collect();
    if let [scope] = scopes.into_iter().collect::<Vec<_>>()[..]
        && scope != "$"
    {
        let member = |path: &String| paths::below(path, scope).into_iter().map(str::to_owned).collect::<Vec<_>>();
        tuples.insert((scope.to_owned(), paths.iter().map(member).collect()));
    }
    for nested in &constraint.nested_constraints {
        collect_uniqueness(nested, base, tuples);
    }
}
