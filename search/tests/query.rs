//! Parsing of queries: accepted parameters, and the errors for rejected ones.

use millstream_schema::{apischema, model, plan};
use millstream_search::{
    Comparison, Decimal, Hit, ParameterError, QueryOptions, SearchModel, SearchQuery, SearchResource, Value,
};
use std::path::Path;
use std::sync::{Arc, LazyLock};
use uuid::Uuid;

const OPTIONS: QueryOptions = QueryOptions { limit_default: 25, limit_max: 500 };

static MODEL: LazyLock<SearchModel> = LazyLock::new(|| {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../schema/fixtures");
    let files = ["meadow", "brook"].map(|name| root.join(format!("{name}.ApiSchema.json")));
    let schema = apischema::load(&files).unwrap_or_else(|errors| panic!("{errors}"));
    let model = model::derive(&schema).unwrap_or_else(|errors| panic!("{errors}"));
    SearchModel::of(&plan::compile(&schema, &model))
});

fn resource(endpoint: &str) -> &'static Arc<SearchResource> {
    MODEL.iter().find(|resource| resource.endpoint == endpoint).expect("a type of the small schema")
}

fn parse(endpoint: &str, parameters: &[(&str, &str)]) -> Result<SearchQuery, Vec<ParameterError>> {
    let parameters: Vec<(String, String)> =
        parameters.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    SearchQuery::parse(resource(endpoint), &parameters, &OPTIONS)
}

fn accepted(endpoint: &str, parameters: &[(&str, &str)]) -> SearchQuery {
    parse(endpoint, parameters).unwrap_or_else(|errors| panic!("{errors:?}"))
}

fn hit(body: &str) -> Hit {
    Hit { uuid: Uuid::from_u128(0xAB), version: 7, body: body.to_owned().into() }
}

#[test]
fn an_empty_query_is_the_first_page_by_id() {
    let query = accepted("schools", &[]);
    assert!(query.conditions.is_empty() && query.terms.is_empty() && query.sort.is_empty());
    assert_eq!((query.limit, query.total_count, query.after.is_none()), (25, false, true));
    assert!(!query.is_by_relevance());
}

#[test]
fn conditions_in_one_collection_are_one_group_and_nested_ones_are_inner_groups() {
    let query = accepted(
        "schools",
        &[
            ("addresses.city", "Dale"),
            ("addresses.periods.beginDate:gte", "2022-01-01"),
            ("Addresses.LATITUDE:lt", "1.5"),
            ("gradeLevels.gradeLevelDescriptor", "Ninth Grade"),
            ("schoolId", "710001"),
            ("nameOfInstitution", "Fern"),
        ],
    );
    let path = |collection| query.resource.collection(collection).path.as_str();
    let [addresses, levels] = query.conditions.inner.as_slice() else { panic!("{:?}", query.conditions) };
    assert_eq!(addresses.collection.map(path), Some("addresses"));
    assert_eq!(levels.collection.map(path), Some("gradeLevels"));
    assert_eq!(query.conditions.conditions.len(), 2);
    assert_eq!(addresses.conditions.len(), 2);
    let latitude = &addresses.conditions[1].any_of[0].comparison;
    let expected = Value::Decimal(Decimal { unscaled: 1_500_000, scale: 6 });
    assert_eq!(*latitude, Comparison::Below(expected));
    assert_eq!(addresses.inner[0].collection.map(path), Some("addresses.periods"));
    let code = &levels.conditions[0].any_of[0].comparison;
    assert_eq!(*code, Comparison::Code("ninth grade".to_owned()));
}

#[test]
fn a_query_field_with_several_fields_matches_any() {
    let query = accepted("courseOfferings", &[("schoolId", "5"), ("schoolId:gt", "1")]);
    let [equal, above] = query.conditions.conditions.as_slice() else { panic!("two conditions") };
    assert_eq!((equal.any_of.len(), above.any_of.len()), (2, 2));
}

#[test]
fn a_query_that_cannot_match_is_valid() {
    for (name, value) in [
        ("schoolId", "99999999999999999999"),
        ("schoolId", "5.5"),
        ("id", "no uuid"),
        ("q", &"x".repeat(256)),
        ("schoolId:gt", "1e30"),
    ] {
        let query = accepted("schools", &[(name, value)]);
        assert!(query.conditions.conditions[0].any_of.is_empty(), "{name}={value}");
    }
}

#[test]
fn a_facet_is_a_field_that_documents_can_share() {
    for (endpoint, field, is_shared) in [
        ("schools", "schoolId", false),
        ("schools", "SCHOOLID", false),
        ("students", "studentUniqueId", false),
        ("schools", "nameOfInstitution", true),
        ("studentSchoolAssociations", "schoolReference.schoolId", true),
    ] {
        let parsed = parse(endpoint, &[("facet", field)]);
        assert_eq!(parsed.is_ok(), is_shared, "{endpoint} {field}: {parsed:?}");
    }
}

#[test]
fn every_problem_is_reported_at_once_and_names_its_parameter() {
    let errors = parse(
        "schools",
        &[
            ("nowhere", "1"),
            ("schoolId:near", "1"),
            ("acceptsTransfers:gt", "true"),
            ("addresses.latitude", "north"),
            ("limit", "501"),
            ("limit", "5"),
            ("sort", "addresses.city"),
            ("facet", "id"),
            ("facetLimit", "0"),
            ("fields", "nameOfInstitution,,"),
            ("totalCount", "1"),
            ("q", " \0!"),
            ("addresses.addressTypeDescriptor:lt", "x"),
            ("SCHOOLID", "1"),
            ("schoolid", "1"),
        ],
    )
    .expect_err("none of them is valid");
    let named: Vec<&str> = errors.iter().map(|error| error.parameter.as_str()).collect();
    assert_eq!(
        named,
        [
            "nowhere",
            "schoolId:near",
            "acceptsTransfers:gt",
            "addresses.latitude",
            "limit",
            "limit",
            "sort",
            "facet",
            "facetLimit",
            "fields",
            "totalCount",
            "q",
            "addresses.addressTypeDescriptor:lt",
            "schoolid",
        ]
    );
    assert_eq!(
        errors[3].message,
        "The value 'north' of the query parameter 'addresses.latitude' is not valid: a number is expected."
    );
    assert!(errors.iter().all(|error| error.message.contains(&*error.parameter)), "{errors:?}");
}

#[test]
fn a_sort_names_one_field() {
    let errors = parse("courseOfferings", &[("sort", "schoolId")]).expect_err("the name has two fields");
    assert!(errors[0].message.contains("schoolReference.schoolId, sessionReference.schoolId"), "{errors:?}");
    let query =
        accepted("courseOfferings", &[("sort", "-sessionReference.schoolId,localCourseCode,_lastModifiedDate")]);
    assert_eq!(query.sort.iter().map(|sort| sort.descending).collect::<Vec<_>>(), [true, false, false]);
}

#[test]
fn a_cursor_belongs_to_its_query_and_order() {
    let parameters = [("acceptsTransfers", "true"), ("schoolId:gte", "5"), ("sort", "-nameOfInstitution,schoolId")];
    let last = hit(r#"{"id":"x","schoolId":7,"nameOfInstitution":"Östra \"Hill\""}"#);
    let first = accepted("schools", &parameters[..2]);
    let by_id = first.cursor_after(&last).expect("JSON").expect("an order by id has one").to_string();
    let query = accepted(
        "schools",
        &[("acceptsTransfers", "true"), ("schoolId:gte", "5"), ("sort", "-nameOfInstitution,schoolId")],
    );
    let text = query.cursor_after(&last).expect("JSON").expect("a sort has one").to_string();
    assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'), "{text}");
    // A different order of parameters, other counts and another page size are the same query.
    let next = accepted(
        "schools",
        &[
            ("cursor", &text),
            ("limit", "3"),
            ("totalCount", "true"),
            ("schoolId:gte", "5"),
            ("sort", "-nameOfInstitution,schoolId"),
            ("acceptsTransfers", "true"),
        ],
    );
    let key = next.after.expect("a cursor");
    assert_eq!(key.values, [Some(Value::Text("Östra \"Hill\"".to_owned())), Some(Value::Integer(7))]);
    assert_eq!(key.uuid, last.uuid);
    for (parameters, cursor) in [
        (vec![("acceptsTransfers", "true"), ("schoolId:gte", "5")], &*text),
        (vec![("acceptsTransfers", "true"), ("sort", "-nameOfInstitution,schoolId")], &*text),
        (vec![("acceptsTransfers", "true"), ("schoolId:gte", "5"), ("sort", "nameOfInstitution,schoolId")], &*text),
        (vec![("acceptsTransfers", "true"), ("schoolId:gte", "5"), ("q", "hill")], &*by_id),
        (vec![], ""),
        (vec![], "a"),
        (vec![], "ae30"),
        (vec![], "\0€"),
    ] {
        let mut parameters = parameters;
        parameters.push(("cursor", cursor));
        let errors = parse("schools", &parameters).expect_err("not of this query");
        assert_eq!(errors[0].parameter, "cursor");
    }
}

#[test]
fn an_order_by_relevance_has_no_cursor() {
    let query = accepted("schools", &[("q", "hill Hill DALE")]);
    assert_eq!(query.terms, ["dale", "hill"]);
    assert!(query.is_by_relevance());
    assert_eq!(query.cursor_after(&hit("{}")).expect("JSON"), None);
    assert!(!accepted("schools", &[("q", "hill"), ("sort", "schoolId")]).is_by_relevance());
}

#[test]
fn a_projection_keeps_the_id_and_the_named_members() {
    let body = br#"{"id":"x","_etag":"7","schoolId":9007199254740993,"nameOfInstitution":"F",
        "addresses":[{"city":"Dale","latitude":-33.9,"periods":[{"beginDate":"2020-08-01"},{"endDate":"2021-01-01"}]},
        {"postalCode":"1"}],"districtReference":{"districtId":1}}"#;
    for (fields, expected) in [
        ("schoolId", r#"{"id":"x","schoolId":9007199254740993}"#),
        ("_ETAG,Addresses.Latitude", r#"{"id":"x","_etag":"7","addresses":[{"latitude":-33.9}]}"#),
        ("addresses.periods.beginDate", r#"{"id":"x","addresses":[{"periods":[{"beginDate":"2020-08-01"}]}]}"#),
        ("districtId", r#"{"id":"x","districtReference":{"districtId":1}}"#),
        ("districtReference.districtId,districtReference", r#"{"id":"x","districtReference":{"districtId":1}}"#),
        ("acceptsTransfers", r#"{"id":"x"}"#),
    ] {
        let projection = accepted("schools", &[("fields", fields)]).projection.expect("a projection");
        let kept = projection.apply(body).expect("JSON");
        assert_eq!(std::str::from_utf8(&kept), Ok(expected), "{fields}");
    }
    assert!(parse("schools", &[("fields", "addresses.nowhere")]).is_err());
}

#[test]
fn hostile_text_is_refused_or_finds_nothing_and_is_not_echoed_at_length() {
    let long = "9".repeat(100_000);
    let errors = parse("schools", &[(&long, &long), ("limit", &long), ("sort", &long)]).expect_err("invalid");
    assert!(errors.iter().all(|error| error.message.len() < 1_000));
    let names: Vec<String> = (0..300).map(|at| format!("a{at}")).collect();
    for parameter in ["sort", "facet", "fields"] {
        assert!(parse("schools", &[(parameter, &names.join(","))]).is_err());
    }
    assert!(parse("schools", &[("q", &names.join(" "))]).is_err(), "too many words");
}
