//! The relational model: the counts of the design pages, the shapes of docs/design/edfi-model.md#edfi-4, the DDL of the
//! small schema, and the same bytes in any order (invariant SAME-BYTES).

mod support;

use millstream_schema::apischema::{self, EffectiveSchema};
use millstream_schema::model::{self, Model, Table};
use millstream_schema::plan::{self, Mapping, QueryKind};
use millstream_schema::{ddl, plan::TableRole};
use std::path::{Path, PathBuf};

fn compiled(files: &[PathBuf]) -> (EffectiveSchema, Model, Mapping) {
    let schema = apischema::load(files).unwrap_or_else(|errors| panic!("{errors}"));
    let model = model::derive(&schema).unwrap_or_else(|errors| panic!("{errors}"));
    let mapping = plan::compile(&schema, &model);
    (schema, model, mapping)
}

fn table<'m>(model: &'m Model, schema: &str, name: &str) -> &'m Table {
    model.tables().find(|t| t.schema == schema && t.name == name).unwrap_or_else(|| panic!("no table {schema}.{name}"))
}

fn columns(table: &Table) -> Vec<&str> {
    table.columns.iter().map(|column| column.name.as_str()).collect()
}

#[test]
fn the_published_schemas_map_to_the_counts_of_the_design() {
    let Some(files) = support::corpus_files() else { return };
    let (_, model, mapping) = compiled(&files);
    assert_eq!(mapping.resources.len() + mapping.abstracts.len(), 391);
    let changeable: Vec<&str> =
        mapping.resources.iter().filter(|r| r.changeable).map(|r| r.resource_name.as_str()).collect();
    assert_eq!(changeable.len(), 15, "{changeable:?}");
    let sites = mapping.resources.iter().flat_map(|r| &r.references);
    assert_eq!(sites.clone().count(), 366);
    assert_eq!(sites.filter(|site| site.target_changeable).count(), 23);
    assert_eq!(model.tables().count(), 566);
    let long = model.tables().filter(|t| t.name.len() > 63).count();
    assert_eq!(long, 26, "table names that need shortening for PostgreSQL");
}

#[test]
fn school_is_laid_out_as_in_the_worked_example() {
    let Some(files) = support::corpus_files() else { return };
    let (_, model, mapping) = compiled(&files);
    let school = table(&model, "edfi", "School");
    assert_eq!(school.role, TableRole::Root);
    for name in ["SchoolId", "NameOfInstitution", "SchoolType_DescriptorId", "CharterApprovalSchoolYearType_DocumentId"]
    {
        assert!(columns(school).contains(&name), "{name} in {:?}", columns(school));
    }
    assert_eq!(school.uniques[0].name, "UX_School_NK");
    let period = table(&model, "edfi", "SchoolAddressPeriod");
    assert_eq!(period.key, ["School_DocumentId", "AddressOrdinal", "Ordinal"]);
    // The override `SchoolCategory` repeats its parent's name, which is dropped.
    assert_eq!(table(&model, "edfi", "SchoolCategory").role, TableRole::Collection);
    assert_eq!(table(&model, "tpdm", "SchoolExtension").key, ["DocumentId"]);
    let address = table(&model, "sample", "ContactExtensionAddress");
    assert_eq!(address.key, ["Contact_DocumentId", "Ordinal"]);
    let district = table(&model, "sample", "ContactExtensionAddressSchoolDistrict");
    assert_eq!(district.key, ["Contact_DocumentId", "AddressOrdinal", "Ordinal"]);
    let schools = mapping.resource(mapping.route("Ed-Fi", "SCHOOLS").expect("routes ignore case"));
    assert_eq!(
        schools.identity.superclass.as_ref().map(|s| s.paths.clone()),
        Some(vec!["$.educationOrganizationId".into()])
    );
}

#[test]
fn every_query_field_of_the_published_schemas_is_compiled_but_the_two_without_a_path() {
    let Some(files) = support::corpus_files() else { return };
    let (schema, _, mapping) = compiled(&files);
    let fields = mapping.resources.iter().flat_map(|r| r.query_fields.values().map(move |f| (r, f)));
    let empty: Vec<String> = fields
        .clone()
        .filter(|(_, field)| field.paths.is_empty())
        .map(|(resource, field)| format!("{}.{}", resource.endpoint, field.name))
        .collect();
    assert_eq!(empty, ["busRoutes.staffUniqueId", "studentArtProgramAssociations.studentUniqueId"]);
    assert_eq!(schema.warnings.len(), 2, "{:?}", schema.warnings);
    for (resource, field) in fields {
        for path in &field.paths {
            assert_eq!(path.filter.sql.matches("{}").count(), 1, "{}.{}", resource.endpoint, field.name);
        }
    }
    let id = mapping
        .resources
        .iter()
        .filter(|r| r.query_fields.get("id").is_some_and(|f| f.paths[0].kind == QueryKind::Uuid));
    assert_eq!(id.count(), 389);
}

#[test]
fn any_file_order_gives_the_same_bytes() {
    let fixtures = support::fixture_files().to_vec();
    for files in [Some(fixtures), support::corpus_files().map(|files| files.to_vec())].into_iter().flatten() {
        let mut reversed = files.clone();
        reversed.reverse();
        let [one, other] = [files, reversed].map(|files| {
            let (schema, model, mapping) = compiled(&files);
            (schema.hash, ddl::postgres(&model), serde_json::to_string(&mapping).expect("plain data"))
        });
        assert_eq!(one, other);
    }
}

#[test]
fn a_mapping_can_be_written_to_a_file_and_read_back() {
    let (_, _, mapping) = compiled(&support::fixture_files());
    let text = serde_json::to_string(&mapping).expect("plain data");
    let back: Mapping = serde_json::from_str(&text).expect("reads back");
    assert_eq!(serde_json::to_string(&back).expect("plain data"), text);
}

#[test]
fn the_ddl_of_the_small_schema_is_pinned() {
    let (_, model, _) = compiled(&support::fixture_files());
    insta::assert_snapshot!(ddl::postgres(&model));
}

/// Loads the small schema with its core file changed.
fn derive_changed(change: impl FnOnce(&mut serde_json::Value)) -> Result<Model, String> {
    let [core, extension] = support::fixture_files();
    let text = std::fs::read(&core).expect("readable");
    let mut value: serde_json::Value = serde_json::from_slice(&text).expect("JSON");
    change(&mut value);
    let changed = serde_json::to_vec(&value).expect("serialises");
    let extension_text = std::fs::read(&extension).expect("readable");
    let files = [(PathBuf::from("core.json"), changed), (extension, extension_text)];
    let schema = apischema::load_texts(&files).map_err(|errors| errors.to_string())?;
    model::derive(&schema).map_err(|errors| errors.to_string())
}

fn resource_with_collection(core: &serde_json::Value) -> (String, String, String) {
    let resources = core["projectSchema"]["resourceSchemas"].as_object().expect("resources");
    for (endpoint, resource) in resources {
        let properties = resource["jsonSchemaForInsert"]["properties"].as_object().expect("properties");
        let scalars: Vec<&String> = properties
            .iter()
            .filter(|(_, p)| p["type"] == "string" || p["type"] == "integer")
            .map(|(name, _)| name)
            .collect();
        if resource["isDescriptor"] == false && resource["isResourceExtension"] == false && scalars.len() >= 2 {
            return (endpoint.clone(), scalars[0].clone(), scalars[1].clone());
        }
    }
    panic!("the small schema has a resource with two scalars")
}

#[test]
fn an_override_that_matches_nothing_is_refused_with_its_path() {
    let refusal = derive_changed(|core| {
        let (endpoint, ..) = resource_with_collection(core);
        core["projectSchema"]["resourceSchemas"][endpoint]["relational"] =
            serde_json::json!({"nameOverrides": {"$.nowhere": "Nowhere"}});
    });
    let message = refusal.expect_err("refused");
    let place = "core.json: $.projectSchema.resourceSchemas.";
    assert!(message.contains(place) && message.contains(".relational.nameOverrides: $.nowhere"), "{message}");
    assert!(message.contains("matches no"), "{message}");
}

#[test]
fn names_that_collide_are_refused_naming_both_sources() {
    let refusal = derive_changed(|core| {
        let (endpoint, first, second) = resource_with_collection(core);
        let path = format!("$.{first}");
        let taken = model::names::pascal(&second);
        core["projectSchema"]["resourceSchemas"][endpoint]["relational"] =
            serde_json::json!({"nameOverrides": {path: taken}});
    });
    let message = refusal.expect_err("refused");
    assert!(message.contains("is made by both"), "{message}");
    let places = message.matches("core.json: $.projectSchema.resourceSchemas.").count();
    assert_eq!((places, message.matches(".jsonSchemaForInsert.properties.").count()), (2, 2), "{message}");
}

#[test]
fn only_files_that_exist_are_mapped() {
    assert!(apischema::load(&[Path::new("/nonexistent/ApiSchema.json").to_owned()]).is_err());
}
