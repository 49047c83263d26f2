//! The search model of the small schema and of the published schemas.

use millstream_schema::{apischema, model, plan};
use millstream_search::{FieldKind, ID, MemberKind, SearchModel, SearchResource, Shape};
use std::path::{Path, PathBuf};
use std::time::Instant;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn mapping(files: &[PathBuf]) -> plan::Mapping {
    let schema = apischema::load(files).unwrap_or_else(|errors| panic!("{errors}"));
    plan::compile(&schema, &model::derive(&schema).unwrap_or_else(|errors| panic!("{errors}")))
}

fn small() -> SearchModel {
    SearchModel::of(&mapping(
        &["meadow", "brook"].map(|name| root().join(format!("schema/fixtures/{name}.ApiSchema.json"))),
    ))
}

fn resource<'m>(model: &'m SearchModel, endpoint: &str) -> &'m SearchResource {
    model.iter().find(|resource| resource.endpoint == endpoint).expect("a type of the small schema")
}

/// Returns kind and collection path of the field at a path.
fn place<'r>(resource: &'r SearchResource, path: &str) -> (FieldKind, Option<&'r str>) {
    let field = resource.field(resource.at_path(path).unwrap_or_else(|| panic!("no field {path}")));
    assert_eq!(field.path, path);
    (field.kind, field.collection.map(|ix| resource.collection(ix).path.as_str()))
}

#[test]
fn every_scalar_of_a_body_is_a_field_with_its_collection() {
    let model = small();
    let schools = resource(&model, "schools");
    assert_eq!(place(schools, "id"), (FieldKind::Id, None));
    assert_eq!(place(schools, "_lastModifiedDate"), (FieldKind::DateTime, None));
    assert_eq!(place(schools, "districtReference.districtId"), (FieldKind::Integer, None));
    assert_eq!(
        place(schools, "addresses.latitude"),
        (FieldKind::Decimal { precision: 9, scale: 6 }, Some("addresses"))
    );
    assert_eq!(place(schools, "addresses.addressTypeDescriptor"), (FieldKind::Descriptor, Some("addresses")));
    assert_eq!(place(schools, "addresses._ext.brook.complex"), (FieldKind::Text, Some("addresses")));
    let openings = "addresses.periods.openings";
    assert_eq!(place(schools, "addresses.periods.openings.opensAt"), (FieldKind::Time, Some(openings)));
    let collection =
        schools.collections.iter().find(|collection| collection.path == openings).expect("the collection exists");
    let parent = schools.collection(collection.parent.expect("the collection is nested"));
    assert_eq!(parent.path, "addresses.periods");
    let programs = resource(&model, "studentProgramAssociations");
    let descriptor = place(programs, "programReference.programTypeDescriptor");
    assert_eq!(descriptor, (FieldKind::Descriptor, None), "a descriptor in a reference is a descriptor field");
}

#[test]
fn a_name_is_a_query_field_or_a_path_in_any_case() {
    let model = small();
    let offerings = resource(&model, "courseOfferings");
    let paths = |name: &str| -> Vec<&str> {
        let fields = offerings.named(name).unwrap_or_default();
        fields.into_iter().map(|field| offerings.field(field).path.as_str()).collect()
    };
    assert_eq!(paths("SCHOOLID"), ["schoolReference.schoolId", "sessionReference.schoolId"]);
    assert_eq!(paths("sessionreference.SchoolId"), ["sessionReference.schoolId"]);
    assert_eq!(offerings.named("Id"), Some(vec![ID]));
    assert_eq!(offerings.named("nowhere"), None);
}

#[test]
fn descriptors_have_fields_like_others() {
    let model = small();
    let descriptors = resource(&model, "gradeLevelDescriptors");
    assert!(descriptors.is_descriptor);
    assert_eq!(place(descriptors, "codeValue"), (FieldKind::Text, None));
    assert_eq!(place(descriptors, "effectiveEndDate"), (FieldKind::Date, None));
}

/// Counts the fields of a tree, which has exactly the fields of the list.
fn count(shape: &Shape) -> usize {
    fn of(place: &MemberKind) -> usize {
        match place {
            MemberKind::Field(_) => 1,
            MemberKind::Object(shape) => count(shape),
            MemberKind::Collection(_, item) => of(item),
        }
    }
    shape.iter().map(|(_, place)| of(place)).sum()
}

#[test]
#[allow(clippy::print_stderr, reason = "a test that measures prints its result, and one that skips prints why")]
fn the_real_schema_has_a_model_in_milliseconds() {
    let corpus = std::env::var_os("MILLSTREAM_CORPUS").map_or_else(|| root().join("../shared/corpus"), PathBuf::from);
    let files = ["ed-fi-5.2", "tpdm-1.1.0", "sample-1.0.0"]
        .map(|name| corpus.join("apischema").join(format!("{name}.ApiSchema.json")));
    if !files.iter().all(|file| file.exists()) {
        eprintln!("skipped: no corpus at {} (MILLSTREAM_CORPUS names another place)", corpus.display());
        return;
    }
    let mapping = mapping(&files);
    let begun = Instant::now();
    let model = SearchModel::of(&mapping);
    let taken = begun.elapsed();
    let fields: usize = model.iter().map(|resource| resource.fields.len()).sum();
    let largest = model.iter().max_by_key(|resource| resource.fields.len()).expect("there are types");
    eprintln!("{} types, {fields} fields in {taken:?}", model.iter().count());
    eprintln!("most fields: {} ({})", largest.endpoint, largest.fields.len());
    for (resource, (ix, plan)) in model.iter().zip(mapping.iter()) {
        assert_eq!((resource.ix, resource.key), (ix, plan.key));
        assert_eq!(model.by_key(plan.key).map(|found| found.ix), Some(ix));
        assert_eq!(count(&resource.shape), resource.fields.len(), "{}", resource.endpoint);
        for (name, field) in &plan.query_fields {
            let fields = resource.named(name).expect("every query field is a name");
            assert_eq!(fields.len(), field.paths.len(), "{}: {name}", resource.endpoint);
        }
    }
}
