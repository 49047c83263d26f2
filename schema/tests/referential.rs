//! Published and worked ReferentialId vectors (docs/design/edfi-identity.md#edfi-2.2,
//! docs/design/edfi-identity.md#edfi-2.3), and their canonical values (docs/design/edfi-identity.md#edfi-2.4).

use millstream_schema::referential::{canonical_number, descriptor_id, is_descriptor_path, lower_uri, referential_id};

/// (project, resource, elements, uuid).
type Vector = (&'static str, &'static str, &'static [(&'static str, &'static str)], &'static str);

const PUBLISHED: &[Vector] = &[
    ("Ed-Fi", "School", &[("$.schoolId", "123")], "3af6ad85-1212-5833-be6f-f8df6f4d6402"),
    (
        "Ed-Fi",
        "Section",
        &[
            ("$.localCourseCode", "abc"),
            ("$.schoolReference.schoolId", "123"),
            ("$.sessionReference.schoolYear", "2030"),
            ("$.sectionIdentifier", "sectionId"),
            ("$.sessionReference.sessionName", "d"),
        ],
        "7400934a-8a00-551b-a1ba-4db0b3a4d556",
    ),
];

const WORKED_CHAIN: &[Vector] = &[
    ("Ed-Fi", "School", &[("$.schoolId", "255901")], "0420a54c-16df-5fff-8f48-d87d35e71fe7"),
    (
        "Ed-Fi",
        "EducationOrganization",
        &[("$.educationOrganizationId", "255901")],
        "c1204ade-622c-5695-afb9-01534d97999c",
    ),
    ("Ed-Fi", "SchoolYearType", &[("$.schoolYear", "2031")], "df952ff3-5734-5092-a390-2a7b6196e86b"),
    (
        "Ed-Fi",
        "Session",
        &[
            ("$.schoolReference.schoolId", "255901"),
            ("$.schoolYearTypeReference.schoolYear", "2031"),
            ("$.sessionName", "Fall Term"),
        ],
        "ee98042d-b739-5c30-aaa4-539947638a3b",
    ),
    (
        "Ed-Fi",
        "CourseOffering",
        &[
            ("$.localCourseCode", "ALG-1"),
            ("$.schoolReference.schoolId", "255901"),
            ("$.sessionReference.schoolId", "255901"),
            ("$.sessionReference.schoolYear", "2031"),
            ("$.sessionReference.sessionName", "Fall Term"),
        ],
        "e7d4419b-67e7-58ba-a0df-8f784557f5ac",
    ),
    (
        "Ed-Fi",
        "Section",
        &[
            ("$.courseOfferingReference.localCourseCode", "ALG-1"),
            ("$.courseOfferingReference.schoolId", "255901"),
            ("$.courseOfferingReference.schoolYear", "2031"),
            ("$.courseOfferingReference.sessionName", "Fall Term"),
            ("$.sectionIdentifier", "SEC-9"),
        ],
        "de2798a5-c5fc-54c0-828d-bf4c1b9327b5",
    ),
    ("Ed-Fi", "Student", &[("$.studentUniqueId", "S-7001")], "cf37a6cd-317c-534b-b2af-a4852f42cb00"),
    (
        "Ed-Fi",
        "StudentSectionAssociation",
        &[
            ("$.beginDate", "2031-08-15"),
            ("$.sectionReference.localCourseCode", "ALG-1"),
            ("$.sectionReference.schoolId", "255901"),
            ("$.sectionReference.schoolYear", "2031"),
            ("$.sectionReference.sectionIdentifier", "SEC-9"),
            ("$.sectionReference.sessionName", "Fall Term"),
            ("$.studentReference.studentUniqueId", "S-7001"),
        ],
        "4eab4084-a8c9-5f55-a8fd-28aabbd5f75b",
    ),
    (
        "Ed-Fi",
        "Program",
        &[
            ("$.educationOrganizationReference.educationOrganizationId", "255901"),
            ("$.programName", "Robotics"),
            ("$.programTypeDescriptor", "uri://example.org/programtypedescriptor#after school"),
        ],
        "72e9a1a7-8ed1-5ebc-9c1c-b028cf36c2e6",
    ),
    (
        "Ed-Fi",
        "Session",
        &[
            ("$.schoolReference.schoolId", "255901"),
            ("$.schoolYearTypeReference.schoolYear", "2031"),
            ("$.sessionName", "Autumn Term"),
        ],
        "b14f4919-e642-509b-82c9-5f4a8a75bb8a",
    ),
    (
        "Ed-Fi",
        "Section",
        &[
            ("$.courseOfferingReference.localCourseCode", "ALG-1"),
            ("$.courseOfferingReference.schoolId", "255901"),
            ("$.courseOfferingReference.schoolYear", "2031"),
            ("$.courseOfferingReference.sessionName", "Autumn Term"),
            ("$.sectionIdentifier", "SEC-9"),
        ],
        "9978318b-2f67-5bde-8503-1c90d8fb0d4b",
    ),
];

#[test]
fn ids_equal_the_vectors() {
    for (project, resource, elements, expected) in PUBLISHED.iter().chain(WORKED_CHAIN) {
        let id = referential_id(project, resource, elements.iter().copied());
        assert_eq!(id.to_string(), *expected, "{project} {resource} {elements:?}");
    }
}

#[test]
fn a_descriptor_is_found_whatever_its_casing() {
    let expected = "4b54ef66-03ac-5f6d-b36d-19dd85212001";
    for uri in
        ["uri://example.org/GradeLevelDescriptor#Tenth grade", "URI://EXAMPLE.ORG/gradeleveldescriptor#TENTH GRADE"]
    {
        assert_eq!(descriptor_id("Ed-Fi", "GradeLevelDescriptor", uri).to_string(), expected, "{uri}");
    }
}

#[test]
fn descriptor_paths_are_known_by_their_end() {
    assert!(is_descriptor_path("$.programTypeDescriptor"));
    assert!(is_descriptor_path("$['programTypeDescriptor]"));
    assert!(!is_descriptor_path("$.descriptorName"));
}

#[test]
fn lower_casing_is_one_to_one() {
    assert_eq!(lower_uri("ABCÄÖÉΣ#Ж"), "abcäöéσ#ж");
    // The full lower case of U+0130 is two characters; it stays.
    assert_eq!(lower_uri("\u{130}STANBUL"), "\u{130}stanbul");
    // No final-sigma rule: it depends on the neighbours.
    assert_eq!(lower_uri("ΟΔΟΣ"), "οδοσ");
}

#[test]
fn numbers_have_one_spelling() {
    let same: &[(&str, &str)] = &[
        ("0", "0"),
        ("-0", "0"),
        ("-0.000", "0"),
        ("0e400", "0"),
        ("0e-99999999999999999999999", "0"),
        ("1.50", "1.5"),
        ("1e3", "1000"),
        ("1E+3", "1000"),
        ("12.340e1", "123.4"),
        ("12.34e2", "1234"),
        ("12.34e3", "12340"),
        ("5.0", "5"),
        ("100", "100"),
        ("-2.5e-3", "-0.0025"),
        ("0.0001", "0.0001"),
        ("1e-28", "0.0000000000000000000000000001"),
        ("255901", "255901"),
        ("007", "7"),
        ("123456789012345678901234567890.5", "123456789012345678901234567890.5"),
        ("10000000000000000000000000000000000000000e-40", "1"),
    ];
    for (text, canonical) in same {
        assert_eq!(canonical_number(text).as_deref(), Some(*canonical), "{text}");
    }
}

#[test]
fn unbounded_and_malformed_numbers_are_refused() {
    let refused = [
        "",
        "-",
        "+1",
        ".5",
        "5.",
        "1e",
        "1e+",
        "1e1.5",
        "1 ",
        "0x10",
        "NaN",
        "1,5",
        "--1",
        "1.2.3",
        "١",
        "1e400",
        "1e-29",
        "1e99999999999999999999999999",
        "-1e-99999999999999999999999999",
        "0.00000000000000000000000000001",
    ];
    for text in refused {
        assert_eq!(canonical_number(text), None, "{text}");
    }
    let long = "1".repeat(61);
    assert_eq!(canonical_number(&long), None);
    assert_eq!(canonical_number(&long[..60]).map(|n| n.len()), Some(60));
}
