//! Writes a schema set as ApiSchema files.

use crate::shape::{Content, Kind, Leaf, Reference, Scalar, Set, Shape, Subclass, Type};
use serde_json::{Map, Value, json};
use std::path::PathBuf;

/// Returns the file of each project.
pub(crate) fn files(set: &Set) -> Vec<(PathBuf, Vec<u8>)> {
    let file = |project: usize| {
        let path = PathBuf::from(format!("{}.ApiSchema.json", set.projects[project].endpoint));
        (path, project_file(set, project).to_string().into_bytes())
    };
    (0..set.projects.len()).map(file).collect()
}

fn project_file(set: &Set, project: usize) -> Value {
    let (mut resources, mut abstracts) = (Map::new(), Map::new());
    for (at, of) in set.types.iter().enumerate() {
        let paths: Vec<&str> = of.identity.iter().map(|element| element.path.as_str()).collect();
        match of.kind {
            Kind::Abstract if of.project == project => {
                abstracts.insert(of.name.clone(), json!({ "identityJsonPaths": paths }));
            }
            Kind::Abstract => {}
            _ if of.project == project => drop(resources.insert(of.endpoint.clone(), resource(set, at))),
            _ => {
                if let Some(extension) = extension(set, at, project) {
                    resources.insert(format!("{}Extensions", of.endpoint), extension);
                }
            }
        }
    }
    json!({ "apiSchemaVersion": "1.0.0", "projectSchema": {
        "projectName": set.projects[project].name, "projectVersion": "1.0.0", "description": "generated",
        "projectEndpointName": set.projects[project].endpoint, "isExtensionProject": project > 0,
        "abstractResources": abstracts, "resourceSchemas": resources } })
}

/// The lists of a resource beside its JSON schema.
#[derive(Default)]
struct Lists {
    mapping: Map<String, Value>,
    booleans: Vec<String>,
    numbers: Vec<String>,
    dates: Vec<String>,
    date_times: Vec<String>,
    decimals: Vec<Value>,
    unique: Vec<Value>,
    queries: Map<String, Value>,
}

fn resource(set: &Set, at: usize) -> Value {
    let of = &set.types[at];
    if of.kind == Kind::Descriptor {
        return descriptor(of);
    }
    let mut lists = Lists::default();
    let schema = object(set, &of.body, "$", &mut lists);
    lists.queries.insert("id".to_owned(), json!([{ "path": "$.id", "type": "string" }]));
    let paths: Vec<&str> = of.identity.iter().map(|element| element.path.as_str()).collect();
    let equal: Vec<Value> = of.equal.iter().map(|(a, b)| json!({ "sourceJsonPath": a, "targetJsonPath": b })).collect();
    let mut out = json!({
        "resourceName": of.name, "isDescriptor": false, "isResourceExtension": false,
        "isSchoolYearEnumeration": of.kind == Kind::SchoolYear, "isSubclass": of.superclass.is_some(),
        "allowIdentityUpdates": of.renamable, "identityJsonPaths": paths, "equalityConstraints": equal,
        "queryFieldMapping": lists.queries, "jsonSchemaForInsert": schema });
    if let Some((superclass, subclass)) = of.superclass {
        let above = &set.types[superclass];
        out["superclassProjectName"] = json!(set.projects[above.project].name);
        out["superclassResourceName"] = json!(above.name);
        out["subclassType"] = json!(if subclass == Subclass::Association { "association" } else { "domainEntity" });
        if subclass == Subclass::DomainEntity {
            out["superclassIdentityJsonPath"] = json!(above.identity[0].path);
        }
    }
    add_lists(&mut out, lists);
    out
}

fn add_lists(out: &mut Value, lists: Lists) {
    out["documentPathsMapping"] = Value::Object(lists.mapping);
    out["booleanJsonPaths"] = json!(lists.booleans);
    out["numericJsonPaths"] = json!(lists.numbers);
    out["dateJsonPaths"] = json!(lists.dates);
    out["dateTimeJsonPaths"] = json!(lists.date_times);
    out["decimalPropertyValidationInfos"] = json!(lists.decimals);
    out["arrayUniquenessConstraints"] = json!(lists.unique);
}

fn descriptor(of: &Type) -> Value {
    json!({
        "resourceName": of.name, "isDescriptor": true, "identityJsonPaths": [], "queryFieldMapping": {},
        "documentPathsMapping": {
            "CodeValue": { "isReference": false, "path": "$.codeValue" },
            "Namespace": { "isReference": false, "path": "$.namespace" } },
        "jsonSchemaForInsert": { "type": "object", "additionalProperties": false,
            "required": ["codeValue", "namespace", "shortDescription"],
            "properties": {
                "codeValue": { "type": "string", "maxLength": 50 },
                "namespace": { "type": "string", "maxLength": 255 },
                "shortDescription": { "type": "string", "maxLength": 75 },
                "effectiveBeginDate": { "type": "string", "format": "date" } } } })
}

/// Returns the extension that a project adds to a resource of another project, if any.
fn extension(set: &Set, at: usize, project: usize) -> Option<Value> {
    let of = &set.types[at];
    let mut lists = Lists::default();
    let schema = additions(set, &of.body, "$", project, &mut lists)?;
    let mut out = json!({ "resourceName": of.name, "isDescriptor": false, "isResourceExtension": true,
        "identityJsonPaths": [], "jsonSchemaForInsert": schema });
    add_lists(&mut out, lists);
    Some(out)
}

/// Returns the part of a shape's schema that leads to the `_ext` content of a project.
fn additions(set: &Set, shape: &Shape, path: &str, project: usize, lists: &mut Lists) -> Option<Value> {
    let mut properties = Map::new();
    if let Some((_, content)) = shape.extensions.iter().find(|(by, _)| *by == project) {
        let endpoint = &set.projects[project].endpoint;
        let content = object(set, content, &format!("{path}._ext.{endpoint}"), lists);
        let projects = json!({ "type": "object", "additionalProperties": true, "properties": { endpoint: content } });
        properties.insert("_ext".to_owned(), projects);
    }
    for field in &shape.fields {
        let at = format!("{path}.{}", field.name);
        let inner = match &field.content {
            Content::List(items, _) => additions(set, items, &format!("{at}[*]"), project, lists)
                .map(|items| json!({ "type": "array", "items": items })),
            Content::Object(inner) => additions(set, inner, &at, project, lists),
            _ => None,
        };
        properties.extend(inner.map(|inner| (field.name.clone(), inner)));
    }
    if properties.is_empty() {
        return None;
    }
    Some(json!({ "type": "object", "properties": properties, "additionalProperties": false }))
}

fn object(set: &Set, shape: &Shape, path: &str, lists: &mut Lists) -> Value {
    let (mut properties, mut required) = (Map::new(), Vec::new());
    for field in &shape.fields {
        let at = format!("{path}.{}", field.name);
        let schema = match &field.content {
            Content::Leaf(leaf) => {
                if !path.contains("[*]") {
                    query(&field.name, &at, *leaf, lists);
                }
                value(set, *leaf, &at, lists)
            }
            Content::Reference(to) => reference(set, to, &at, lists),
            Content::Object(inner) => object(set, inner, &at, lists),
            Content::List(items, unique) => {
                unique_items(items, unique, &at, lists);
                json!({ "type": "array", "minItems": 0, "items": object(set, items, &format!("{at}[*]"), lists) })
            }
            Content::Bare(leaf, unique) => {
                if *unique {
                    lists.unique.push(json!({ "paths": [format!("{at}[*]")] }));
                }
                json!({ "type": "array", "items": value(set, *leaf, &format!("{at}[*]"), lists) })
            }
        };
        properties.insert(field.name.clone(), schema);
        if field.required {
            required.push(field.name.clone());
        }
    }
    json!({ "type": "object", "additionalProperties": false, "properties": properties, "required": required })
}

/// Adds a uniqueness constraint; for a nested list, it is nested in a constraint based on the outer list.
fn unique_items(items: &Shape, unique: &[String], list: &str, lists: &mut Lists) {
    let members = |prefix: &str| -> Vec<String> {
        let fields = items.fields.iter().filter(|field| unique.contains(&field.name));
        let paths = fields.flat_map(|field| match &field.content {
            Content::Reference(to) => to.members.iter().map(|m| format!("{prefix}[*].{}.{m}", field.name)).collect(),
            _ => vec![format!("{prefix}[*].{}", field.name)],
        });
        let mut paths: Vec<String> = paths.collect();
        paths.sort();
        paths.dedup();
        paths
    };
    if unique.is_empty() {
        return;
    }
    lists.unique.push(match list.rfind("[*]") {
        Some(end) => {
            let (base, rest) = list.split_at(end + 3);
            json!({ "nestedConstraints": [{ "basePath": base, "paths": members(&format!("${rest}")) }] })
        }
        None => json!({ "paths": members(list) }),
    });
}

fn query(name: &str, path: &str, leaf: Leaf, lists: &mut Lists) {
    let kind = match leaf {
        Leaf::Scalar(Scalar::Bool) => "boolean",
        Leaf::Scalar(Scalar::Date) => "date",
        Leaf::Scalar(Scalar::Time) => "time",
        Leaf::Scalar(Scalar::Timestamp) => "date-time",
        Leaf::Scalar(Scalar::Short | Scalar::Int | Scalar::Long | Scalar::Decimal(_)) => "number",
        _ => "string",
    };
    let entry = json!({ "path": path, "type": kind });
    if !lists.queries.keys().any(|known| known.to_lowercase() == name.to_lowercase()) {
        lists.queries.insert(name.to_owned(), json!([entry]));
    }
    // One field with several paths; it matches any of them.
    if let Some(any) = lists.queries.entry("anything".to_owned()).or_insert_with(|| json!([])).as_array_mut() {
        any.push(entry);
    }
}

fn reference(set: &Set, to: &Reference, path: &str, lists: &mut Lists) -> Value {
    let target = &set.types[to.target];
    let (mut properties, mut elements) = (Map::new(), Vec::new());
    for (member, element) in to.members.iter().zip(&target.identity) {
        let at = format!("{path}.{member}");
        elements.push(json!({ "identityJsonPath": element.path, "referenceJsonPath": at, "type": "string" }));
        if !properties.contains_key(member) {
            // Members get no mapping: the reference as a whole has one.
            let mapping = lists.mapping.clone();
            properties.insert(member.clone(), value(set, element.leaf, &at, lists));
            lists.mapping = mapping;
            if !path.contains("[*]") && !path.contains("_ext") {
                query(member, &at, element.leaf, lists);
            }
        }
    }
    let mapping = json!({ "isReference": true, "isDescriptor": false, "isRequired": true, "isPartOfIdentity": false,
        "projectName": set.projects[target.project].name, "resourceName": target.name,
        "referenceJsonPaths": elements });
    lists.mapping.insert(path.replace("$.", ""), mapping);
    let required: Vec<String> = properties.keys().filter(|name| name.len() % 3 > 0).cloned().collect();
    json!({ "type": "object", "additionalProperties": false, "properties": properties, "required": required })
}

fn value(set: &Set, leaf: Leaf, path: &str, lists: &mut Lists) -> Value {
    let mut mapping = json!({ "isReference": false, "isDescriptor": false, "isRequired": true,
        "isPartOfIdentity": true, "path": path, "type": "string" });
    if let Leaf::Descriptor(target) = leaf {
        let target = &set.types[target];
        mapping["isReference"] = json!(true);
        mapping["isDescriptor"] = json!(true);
        mapping["projectName"] = json!(set.projects[target.project].name);
        mapping["resourceName"] = json!(target.name);
    }
    lists.mapping.insert(path.replace("$.", ""), mapping);
    let Leaf::Scalar(scalar) = leaf else { return json!({ "type": "string", "maxLength": 306 }) };
    let path = path.to_owned();
    match scalar {
        Scalar::Text(Some(longest)) => json!({ "type": "string", "maxLength": longest }),
        Scalar::Text(None) => json!({ "type": "string" }),
        Scalar::Bool => listed(&mut lists.booleans, path, json!({ "type": "boolean" })),
        Scalar::Date => listed(&mut lists.dates, path, json!({ "type": "string", "format": "date" })),
        Scalar::Time => json!({ "type": "string", "format": "time" }),
        Scalar::Timestamp => listed(&mut lists.date_times, path, json!({ "type": "string", "format": "date-time" })),
        Scalar::Short => {
            let schema = json!({ "type": "integer", "minimum": -32768, "maximum": 32767 });
            listed(&mut lists.numbers, path, schema)
        }
        Scalar::Int => listed(&mut lists.numbers, path, json!({ "type": "integer" })),
        Scalar::Long => listed(&mut lists.numbers, path, json!({ "type": "integer", "format": "int64" })),
        Scalar::Decimal(digits) => {
            if let Some((total, places)) = digits {
                lists.decimals.push(json!({ "path": path, "totalDigits": total, "decimalPlaces": places }));
            }
            listed(&mut lists.numbers, path, json!({ "type": "number" }))
        }
    }
}

fn listed(list: &mut Vec<String>, path: String, schema: Value) -> Value {
    list.push(path);
    schema
}
