//! Loading of valid files: the small schema, the published ones, and older forms of the format.

mod support;

use millstream_schema::apischema::{EffectiveSchema, LoadErrors, load, load_texts};
use serde_json::{Value, json};
use std::path::PathBuf;

#[test]
fn our_own_schema_loads_without_a_warning() {
    let set = load(&support::fixture_files()).expect("the fixture loads");
    assert_eq!(set.api_schema_version, "1.0.0");
    let projects: Vec<(&str, bool)> =
        set.projects.iter().map(|p| (p.schema.project_endpoint_name.as_str(), p.schema.is_extension_project)).collect();
    assert_eq!(projects, [("brook", true), ("meadow", false)]);
    assert_eq!(set.warnings, Vec::<String>::new());
    assert_eq!(set.resource_keys.len(), 25);
    let ids: Vec<i16> = set.resource_keys.iter().map(|k| k.id).collect();
    assert_eq!(ids, (1..=25).collect::<Vec<i16>>());
    let key = |name: &str| set.resource_keys.iter().filter(|k| k.resource_name == name).count();
    assert_eq!((key("EducationOrganization"), key("School"), key("ClubTypeDescriptor")), (1, 1, 1));
}

#[test]
fn a_directory_stands_for_its_json_files() {
    let [core, _] = support::fixture_files();
    let directory = core.parent().expect("the fixture lies in a directory").to_path_buf();
    let from_directory = load(&[directory]).expect("the directory loads");
    let from_files = load(&support::fixture_files()).expect("the files load");
    assert_eq!(from_directory.hash, from_files.hash);
}

#[test]
fn published_query_fields_without_a_value_are_warnings() {
    let Some(files) = support::corpus_files() else { return };
    let set = load(&files).expect("the published files load");
    let query_warnings: Vec<&String> = set.warnings.iter().filter(|w| w.contains("queryFieldMapping")).collect();
    assert_eq!(query_warnings.len(), 2, "{:#?}", set.warnings);
    for (warning, place) in query_warnings.iter().zip([
        "$.projectSchema.resourceSchemas.busRoutes.queryFieldMapping.staffUniqueId[0].path",
        "$.projectSchema.resourceSchemas.studentArtProgramAssociations.queryFieldMapping.studentUniqueId[0].path",
    ]) {
        assert!(warning.contains("sample-1.0.0.ApiSchema.json") && warning.contains(place), "{warning}");
    }
    assert_eq!(set.warnings.len(), 2, "{:#?}", set.warnings);
}

/// Loads the fixture's core, changed in memory.
fn load_changed(change: impl FnOnce(&mut Value)) -> Result<EffectiveSchema, LoadErrors> {
    let [core, _] = support::fixture_files();
    let text = std::fs::read(&core).expect("the fixture is there");
    let mut value: Value = serde_json::from_slice(&text).expect("the fixture is JSON");
    change(&mut value);
    load_texts(&[(PathBuf::from("changed.json"), value.to_string().into_bytes())])
}

#[test]
fn older_abstract_resources_get_identity_paths() {
    let set = load_changed(|file| {
        file["projectSchema"]["abstractResources"] = json!({
            "EducationOrganization": { "identityPathOrder": ["educationOrganizationId"] },
            "GeneralProgramAssociation": { "identityPathOrder": ["beginDate", "educationOrganizationId",
                "programEducationOrganizationId", "programName", "programTypeDescriptor", "studentUniqueId"] },
        });
    })
    .expect("the older form loads");
    let abstracts = &set.projects[0].schema.abstract_resources;
    assert_eq!(abstracts["EducationOrganization"].identity_json_paths, ["$.educationOrganizationId"]);
    assert_eq!(abstracts["GeneralProgramAssociation"].identity_json_paths[5], "$.studentReference.studentUniqueId");
}

#[test]
fn reference_elements_come_in_the_order_of_the_targets_identity() {
    let sections = |set: &EffectiveSchema| {
        let mapping = &set.projects[0].schema.resource_schemas["sections"].document_paths_mapping["CourseOffering"];
        mapping.reference_json_paths.iter().map(|e| e.identity_json_path.clone()).collect::<Vec<_>>()
    };
    let in_order = load_changed(|_| {}).expect("the core loads alone");
    let reversed = load_changed(|file| {
        let mapping =
            &mut file["projectSchema"]["resourceSchemas"]["sections"]["documentPathsMapping"]["CourseOffering"];
        mapping["referenceJsonPaths"].as_array_mut().expect("the fixture has elements").reverse();
    })
    .expect("another order loads");
    assert_eq!(sections(&reversed), sections(&in_order));
    assert_eq!(sections(&in_order)[1], "$.schoolReference.schoolId");
}

#[test]
fn unbounded_descriptor_texts_are_bounded_after_the_hash_is_taken() {
    let change = |file: &mut Value| {
        let schema = &mut file["projectSchema"]["resourceSchemas"]["termDescriptors"]["jsonSchemaForInsert"];
        schema["properties"]["codeValue"].as_object_mut().expect("a schema").remove("maxLength");
    };
    let set = load_changed(change).expect("an unbounded code value loads");
    let schema = &set.projects[0].schema.resource_schemas["termDescriptors"].json_schema_for_insert;
    assert_eq!(schema["properties"]["codeValue"]["maxLength"], 50);
    assert_ne!(set.hash, load_changed(|_| {}).expect("the core loads alone").hash);
}

/// The published schemas of Data Standard 5.0 and 5.1 have such a constraint.
#[test]
fn an_equality_constraint_on_a_path_that_exists_nowhere_is_a_named_warning() {
    let [core, extension] = support::fixture_files().map(|file| {
        let text = std::fs::read(&file).expect("the fixture is there");
        serde_json::from_slice::<Value>(&text).expect("the fixture is JSON")
    });
    for side in ["sourceJsonPath", "targetJsonPath"] {
        let mut core = core.clone();
        let constraints = &mut core["projectSchema"]["resourceSchemas"]["courseOfferings"]["equalityConstraints"];
        constraints[0][side] = json!("$.sessionReference.nowhere");
        let texts = [("core.json", &core), ("extension.json", &extension)]
            .map(|(name, value)| (PathBuf::from(name), value.to_string().into_bytes()));
        let set = load_texts(&texts).unwrap_or_else(|errors| panic!("{errors}"));
        let [warning] = &set.warnings[..] else { panic!("{:?}", set.warnings) };
        for named in [&format!("courseOfferings.equalityConstraints[0].{side}"), "$.sessionReference.nowhere"] {
            assert!(warning.contains(named), "{named} in {warning}");
        }
        let model = millstream_schema::model::derive(&set).unwrap_or_else(|errors| panic!("{errors}"));
        let mapping = millstream_schema::plan::compile(&set, &model);
        assert_eq!(mapping.resources.len(), model.resources.len());
    }
}

#[test]
fn formats_that_are_not_known_are_warnings() {
    let set = load_changed(|file| {
        let schema = &mut file["projectSchema"]["resourceSchemas"]["districts"]["jsonSchemaForInsert"];
        schema["properties"]["webSite"]["format"] = json!("uri");
    })
    .expect("an unknown format loads");
    assert_eq!(set.warnings.len(), 1, "{:?}", set.warnings);
    assert!(set.warnings[0].contains("webSite.format"), "{}", set.warnings[0]);
}
