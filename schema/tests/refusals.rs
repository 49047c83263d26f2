//! One test per reason to refuse a set of files: faults of files, of the set, of JSON schemas and of extensions. Faults
//! of single resources are in `refusals_resource.rs`.

mod support;

use millstream_schema::apischema::{load, load_texts};
use serde_json::json;
use std::path::PathBuf;
use support::refusal::{CORE, EXTENSION, Files, refused, refused_alone, refused_texts};

#[test]
fn malformed_json() {
    let mut texts = Files::new().texts();
    texts[0].1.truncate(1000);
    let errors = refused_texts(CORE, "$", "malformed JSON", &texts);
    assert_eq!(errors.iter().count(), 1, "{errors}");
    refused_texts(CORE, "$", "not UTF-8", &[(PathBuf::from(CORE), vec![b'"', 0xff, b'"'])]);
    refused_texts(CORE, "$.projectSchema", "not an ApiSchema file", &[(PathBuf::from(CORE), b"{}".to_vec())]);
}

#[test]
fn files_that_do_not_exist() {
    for paths in [vec![], vec![PathBuf::from("/nowhere/at/all.json")]] {
        assert!(load(&paths).is_err(), "{paths:?}");
    }
}

#[test]
fn a_duplicate_member() {
    let mut texts = Files::new().texts();
    let text = String::from_utf8(texts[1].1.clone()).expect("the fixture is UTF-8");
    texts[1].1 = text.replacen("\"busRoutes\":{", "\"busRoutes\":{},\"busRoutes\":{", 2).into_bytes();
    refused_texts(EXTENSION, "resourceSchemas.busRoutes", "duplicate member", &texts);
}

#[test]
fn a_member_of_the_wrong_type() {
    refused_alone(CORE, "sessions.allowIdentityUpdates", "expected a boolean", |f| {
        f.resource("sessions")["allowIdentityUpdates"] = json!("yes");
    });
    refused(CORE, "sessions.documentPathsMapping.School.referenceJsonPaths[0]", "missing field", |f| {
        f.resource("sessions")["documentPathsMapping"]["School"]["referenceJsonPaths"][0] = json!({});
    });
}

#[test]
fn mixed_format_versions() {
    refused_alone(CORE, "$.apiSchemaVersion", "one format version", |f| f.core["apiSchemaVersion"] = json!("2.0.0"));
}

#[test]
fn no_core() {
    refused(CORE, "isExtensionProject", "no file of the set is the core", |f| {
        f.core["projectSchema"]["isExtensionProject"] = json!(true);
    });
}

#[test]
fn two_cores() {
    refused_alone(CORE, "isExtensionProject", "exactly one", |f| {
        f.extension["projectSchema"]["isExtensionProject"] = json!(false);
    });
}

#[test]
fn an_endpoint_of_two_projects() {
    refused(EXTENSION, "projectEndpointName", "also the endpoint of core.json", |f| {
        f.extension["projectSchema"]["projectEndpointName"] = json!("meadow");
    });
}

#[test]
fn an_endpoint_twice_in_a_project() {
    refused(CORE, "resourceSchemas.sessions", "same endpoint as Sessions", |f| {
        let copy = f.resource("sessions").clone();
        *f.resource("Sessions") = copy;
    });
}

#[test]
fn a_resource_twice() {
    refused(CORE, "resourceSchemas.zessions", "Meadow Session is defined twice", |f| {
        let copy = f.resource("sessions").clone();
        *f.resource("zessions") = copy;
    });
}

#[test]
fn an_endpoint_that_is_not_a_url_segment() {
    refused(EXTENSION, "projectEndpointName", "URL segment", |f| {
        f.extension["projectSchema"]["projectEndpointName"] = json!("a/b");
    });
    refused(CORE, "resourceSchemas['bus stops']", "URL segment", |f| {
        let mut copy = f.resource("sessions").clone();
        copy["resourceName"] = json!("BusStop");
        *f.resource("bus stops") = copy;
    });
}

#[test]
fn more_keys_than_a_smallint_counts() {
    refused(CORE, "resourceSchemas", "32767", |f| {
        for number in 0..32_767 {
            f.core["projectSchema"]["abstractResources"][format!("A{number}")] = json!({"identityJsonPaths": ["$.a"]});
        }
    });
}

#[test]
fn json_schema_constructs_without_a_column_type() {
    let constructs = [
        ("$ref", json!("#/x")),
        ("oneOf", json!([])),
        ("anyOf", json!([])),
        ("allOf", json!([])),
        ("enum", json!(["a"])),
        ("const", json!("a")),
        ("not", json!({})),
        ("if", json!({})),
    ];
    for (keyword, value) in constructs {
        refused_alone(CORE, &format!("jsonSchemaForInsert.properties.webSite.{keyword}"), "not supported", |f| {
            f.resource("districts")["jsonSchemaForInsert"]["properties"]["webSite"][keyword] = value;
        });
    }
    refused_alone(CORE, "districts.jsonSchemaForInsert.patternProperties", "not supported", |f| {
        f.resource("districts")["jsonSchemaForInsert"]["patternProperties"] = json!({"^x": {"type": "string"}});
    });
}

#[test]
fn schema_types_that_cannot_be_stored() {
    let changes = [
        ("webSite", json!({"type": ["string", "null"]}), "webSite.type", "several types"),
        ("webSite", json!({"description": "any"}), "webSite.type", "missing"),
        ("webSite", json!({"type": "null"}), "webSite.type", "no column type"),
        ("webSite", json!(true), "webSite", "schema object"),
        ("webSite", json!({"type": "object"}), "webSite.properties", "without named members"),
        (
            "webSite",
            json!({"type": "object", "properties": {}, "additionalProperties": {"type": "string"}}),
            "webSite.additionalProperties",
            "not supported",
        ),
        ("webSite", json!({"type": "array"}), "webSite.items", "missing"),
        (
            "webSite",
            json!({"type": "array", "items": {"type": "array", "items": {"type": "string"}}}),
            "webSite.items",
            "array directly inside",
        ),
        ("webSite", json!({"type": "string", "pattern": "("}), "webSite.pattern", "regular expression"),
        ("webSite", json!({"type": "string", "maxLength": -1}), "webSite.maxLength", "count"),
        ("webSite", json!({"type": "integer", "minimum": "0"}), "webSite.minimum", "number"),
        (
            "webSite",
            json!({"type": "object", "properties": {"a": {"type": "string"}}, "required": ["b"]}),
            "webSite.required[0]",
            "not a property",
        ),
        ("web.site", json!({"type": "string"}), "['web.site']", "name"),
    ];
    for (name, schema, place, words) in changes {
        refused(CORE, place, words, |f| {
            f.resource("districts")["jsonSchemaForInsert"]["properties"][name] = schema;
        });
    }
}

#[test]
fn descriptors_of_another_shape() {
    let place = "gradeLevelDescriptors.jsonSchemaForInsert.properties";
    let changes = [
        ("rank", json!({"type": "integer"}), ".rank", "no such member"),
        ("codeValue", json!({"type": "string", "maxLength": 51}), ".codeValue", "more than the 50"),
        ("codeValue", json!({"type": "integer"}), ".codeValue", "string"),
        ("effectiveEndDate", json!({"type": "string", "maxLength": 10}), ".effectiveEndDate", "\"date\""),
    ];
    for (name, schema, at, words) in changes {
        refused(CORE, &format!("{place}{at}"), words, |f| {
            f.resource("gradeLevelDescriptors")["jsonSchemaForInsert"]["properties"][name] = schema;
        });
    }
    refused_alone(CORE, "gradeLevelDescriptors.jsonSchemaForInsert.required", "namespace", |f| {
        f.resource("gradeLevelDescriptors")["jsonSchemaForInsert"]["required"] = json!(["codeValue"]);
    });
}

#[test]
fn a_resource_extension_without_a_base() {
    refused(EXTENSION, "schools.resourceName", "Academy", |f| f.added("schools")["resourceName"] = json!("Academy"));
}

#[test]
fn a_descriptor_that_is_extended() {
    refused(EXTENSION, "schools.resourceName", "cannot be extended", |f| {
        f.added("schools")["resourceName"] = json!("TermDescriptor");
    });
}

#[test]
fn an_extension_outside_its_ext_member() {
    refused_alone(EXTENSION, "schools.jsonSchemaForInsert.properties.motto", "under _ext only", |f| {
        f.added("schools")["jsonSchemaForInsert"]["properties"]["motto"] = json!({"type": "string", "maxLength": 9});
    });
    refused(EXTENSION, "properties._ext.properties.brook.required[0]", "not a property", |f| {
        f.added("schools")["jsonSchemaForInsert"]["properties"]["_ext"]["properties"]["brook"]["required"] =
            json!(["motto"]);
    });
    refused(EXTENSION, "properties._ext.properties.creek", "no loaded project", |f| {
        f.added("schools")["jsonSchemaForInsert"]["properties"]["_ext"]["properties"]["creek"] =
            json!({"type": "object", "properties": {}});
    });
    refused(EXTENSION, "commonExtensionOverrides[0].insertionLocations[0]", "not an object", |f| {
        f.added("schools")["commonExtensionOverrides"][0]["insertionLocations"][0] = json!("$.properties.rooms.items");
    });
    refused(EXTENSION, "commonExtensionOverrides[0].projectEndpointName", "own endpoint", |f| {
        f.added("schools")["commonExtensionOverrides"][0]["projectEndpointName"] = json!("meadow");
    });
    refused_alone(EXTENSION, "commonExtensionOverrides[0].schemaFragment", "differently", |f| {
        let fragment = &mut f.added("schools")["commonExtensionOverrides"][0]["schemaFragment"];
        fragment["properties"]["brook"]["properties"]["onBusRoute"] = json!({"type": "integer"});
    });
}

/// docs/design/rules.md#rule-18: an extension's constraints may name members of the resource that it extends, but only
/// members that exist.
#[test]
fn extension_paths_are_checked_against_the_merged_schema() {
    refused_alone(EXTENSION, "studentSectionAssociations.equalityConstraints[0].targetJsonPath", "not a value", |f| {
        f.added("studentSectionAssociations")["equalityConstraints"][0]["targetJsonPath"] = json!("$.studentReference");
    });
}

#[test]
fn all_reasons_come_at_once_in_one_order() {
    let break_it = |f: &mut Files| {
        f.core["apiSchemaVersion"] = json!("9");
        f.resource("sessions")["documentPathsMapping"]["School"]["resourceName"] = json!("Skool");
        f.resource("districts")["jsonSchemaForInsert"]["properties"]["webSite"]["enum"] = json!([]);
        f.added("buses")["identityJsonPaths"] = json!([]);
    };
    let mut files = Files::new();
    break_it(&mut files);
    let mut texts = files.texts();
    let said = |texts: &[(PathBuf, Vec<u8>)]| load_texts(texts).map(|set| set.hash).expect_err("refused").to_string();
    let first = said(&texts);
    texts.reverse();
    let second = said(&texts);
    for words in ["apiSchemaVersion", "Skool", "webSite.enum", "buses.identityJsonPaths"] {
        assert!(first.contains(words), "{words} is missing in {first}");
    }
    assert_eq!(first, second);
}
