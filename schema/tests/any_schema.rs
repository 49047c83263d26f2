//! Constructs that the published schemas do not use; each was found with generated schemas.

mod support;

use millstream_schema::apischema::load_texts;
use millstream_schema::model::{self, Model};
use millstream_schema::plan::{self, Mapping};
use serde_json::{Value, json};
use std::path::PathBuf;

/// Returns a resource with these properties, all required, and these identity paths.
fn resource(name: &str, properties: Value, identity: &[&str]) -> Value {
    let required: Vec<&String> = properties.as_object().into_iter().flatten().map(|(name, _)| name).collect();
    json!({ "resourceName": name, "identityJsonPaths": identity, "documentPathsMapping": {},
        "jsonSchemaForInsert": { "type": "object", "properties": properties, "required": required } })
}

fn text() -> Value {
    json!({ "type": "string", "maxLength": 20 })
}

fn object(member: &str) -> Value {
    json!({ "type": "object", "properties": { member: text() } })
}

fn reference(to: &str, target: &str, path: &str) -> Value {
    json!({ "isReference": true, "projectName": "Core", "resourceName": to,
        "referenceJsonPaths": [{ "identityJsonPath": target, "referenceJsonPath": path }] })
}

fn derive(endpoint: &str, resources: Value, abstracts: Value) -> Result<(Model, Mapping), String> {
    let file = json!({ "apiSchemaVersion": "1.0.0", "projectSchema": { "projectName": "Core",
        "projectVersion": "1.0.0", "projectEndpointName": endpoint, "isExtensionProject": false,
        "resourceSchemas": resources, "abstractResources": abstracts } });
    let texts = [(PathBuf::from("core.json"), file.to_string().into_bytes())];
    let schema = load_texts(&texts).map_err(|errors| errors.to_string())?;
    let model = model::derive(&schema).map_err(|errors| errors.to_string())?;
    let mapping = plan::compile(&schema, &model);
    Ok((model, mapping))
}

fn columns(model: &Model, table: &str) -> Vec<String> {
    let table = model.tables().find(|t| t.name == table).unwrap_or_else(|| panic!("no table {table}"));
    table.columns.iter().map(|column| column.name.clone()).collect()
}

/// A reference to the superclass locks its target, so every subtype needs an identity lock.
#[test]
fn subtypes_beside_one_that_can_be_renamed_count_as_changeable() {
    let subtype = |name: &str, renamable: bool| {
        let mut subtype = resource(name, json!({ "id1": text() }), &["$.id1"]);
        subtype["isSubclass"] = json!(true);
        subtype["subclassType"] = json!("domainEntity");
        subtype["superclassProjectName"] = json!("Core");
        subtype["superclassResourceName"] = json!("Place");
        subtype["superclassIdentityJsonPath"] = json!("$.placeId");
        subtype["allowIdentityUpdates"] = json!(renamable);
        subtype
    };
    let resources = json!({ "houses": subtype("House", true), "tents": subtype("Tent", false) });
    let abstracts = json!({ "Place": { "identityJsonPaths": ["$.placeId"] } });
    let (_, mapping) = derive("core", resources, abstracts).expect("derived");
    let changeable = mapping.resources.iter().map(|r| (r.resource_name.as_str(), r.changeable)).collect::<Vec<_>>();
    assert_eq!(changeable, [("House", true), ("Tent", true)]);
}

/// The mapping decides what is a descriptor, not the name of the member: the document and those that refer to it hash
/// the value in the same way.
#[test]
fn a_descriptor_in_an_identity_is_hashed_in_lower_case_whatever_it_is_called() {
    let kind = json!({ "resourceName": "KindDescriptor", "isDescriptor": true, "jsonSchemaForInsert": {
        "type": "object", "properties": { "namespace": text(), "codeValue": text() },
        "required": ["namespace", "codeValue"] } });
    let mut thing = resource("Thing", json!({ "kind": text() }), &["$.kind"]);
    thing["documentPathsMapping"]["Kind"] = json!({ "isReference": true, "isDescriptor": true, "projectName": "Core",
        "resourceName": "KindDescriptor", "path": "$.kind" });
    let mut part = resource("Part", json!({ "thingReference": object("kind") }), &["$.thingReference.kind"]);
    part["documentPathsMapping"]["Thing"] = reference("Thing", "$.kind", "$.thingReference.kind");
    let mut piece = resource("Piece", json!({ "partReference": object("kind") }), &["$.partReference.kind"]);
    piece["documentPathsMapping"]["Part"] = reference("Part", "$.thingReference.kind", "$.partReference.kind");
    let resources = json!({ "kindDescriptors": kind, "things": thing, "parts": part, "pieces": piece });
    let (_, mapping) = derive("core", resources, json!({})).expect("derived");
    for name in ["Thing", "Part", "Piece"] {
        let resource = mapping.resources.iter().find(|r| r.resource_name == name).expect("the resource is compiled");
        assert!(resource.identity.elements.iter().all(|element| element.lower_case), "{name}");
        assert!(resource.references.iter().flat_map(|site| &site.members).all(|member| member.lower_case), "{name}");
    }
}

#[test]
fn values_named_like_key_columns_are_renamed() {
    let items = json!({ "type": "array", "items": { "type": "object", "properties": {
        "ordinal": { "type": "integer" }, "schoolReference": object("documentId") } } });
    let mut school = resource("School", json!({ "documentId": text(), "neighbors": items }), &["$.documentId"]);
    school["documentPathsMapping"]["Neighbor"] =
        reference("School", "$.documentId", "$.neighbors[*].schoolReference.documentId");
    let (model, _) = derive("core", json!({ "schools": school }), json!({})).expect("derived");
    assert_eq!(columns(&model, "School"), ["DocumentIdValue"]);
    assert_eq!(columns(&model, "SchoolNeighbor"), ["OrdinalValue", "SchoolReference_DocumentId"]);
}

#[test]
fn what_cannot_become_names_is_refused_with_file_and_path() {
    let nameless = resource("Thing", json!({ "_": text(), "a": text() }), &["$.a"]);
    let refusal = derive("core", json!({ "things": nameless }), json!({})).map(drop).expect_err("refused");
    let place = "core.json: $.projectSchema.resourceSchemas.things.jsonSchemaForInsert.properties._: ";
    assert!(refusal.contains(place), "{refusal}");
    let thing = || resource("Thing", json!({ "a": text() }), &["$.a"]);
    let refusal = derive("D-M-S", json!({ "things": thing() }), json!({})).map(drop).expect_err("refused");
    assert!(refusal.contains("core.json: $.projectSchema.projectEndpointName: "), "{refusal}");
    let list = json!({ "type": "array", "items": { "type": "object", "properties": { "a": text() } } });
    let lists = resource("Thing", json!({ "a": text(), "address": list, "addresses": list }), &["$.a"]);
    let refusal = derive("core", json!({ "things": lists }), json!({})).map(drop).expect_err("refused");
    let place = "core.json: $.projectSchema.resourceSchemas.things.jsonSchemaForInsert.properties.address";
    assert!(refusal.contains(&format!("{place}.items")) && refusal.contains(&format!("{place}es.items")), "{refusal}");
}
