//! One test per reason to refuse a resource: identities, references, paths, constraints, superclasses.

mod support;

use serde_json::{Value, json};
use support::refusal::{CORE, EXTENSION, Files, refused, refused_alone};

#[test]
fn an_array_in_a_query_path() {
    refused_alone(CORE, "schools.queryFieldMapping.city[0].path", "through an array", |f| {
        f.resource("schools")["queryFieldMapping"]["city"] = json!([{"path": "$.addresses[*].city", "type": "string"}]);
    });
}

#[test]
fn a_query_type_that_is_unknown() {
    refused_alone(CORE, "queryFieldMapping.webSite[0].type", "unknown", |f| {
        f.resource("districts")["queryFieldMapping"]["webSite"][0]["type"] = json!("uri");
    });
}

#[test]
fn an_identity_cycle_of_one_type() {
    refused_alone(
        CORE,
        "districts.identityJsonPaths",
        "Meadow District ($.parentDistrictReference.districtId) → Meadow District",
        |f| {
            let district = f.resource("districts");
            district["isSubclass"] = json!(false);
            let mapping = &mut district["documentPathsMapping"]["ParentDistrict"]["referenceJsonPaths"];
            *mapping = json!([
                {"identityJsonPath": "$.districtId", "referenceJsonPath": "$.parentDistrictReference.districtId"},
                {"identityJsonPath": "$.parentDistrictReference.districtId", "referenceJsonPath": "$.parentDistrictReference.parentDistrictId"},
            ]);
            district["jsonSchemaForInsert"]["properties"]["parentDistrictReference"]["properties"]["parentDistrictId"] =
                json!({"type": "integer", "format": "int64"});
            district["identityJsonPaths"] = json!(["$.districtId", "$.parentDistrictReference.districtId"]);
            // The school's reference has to follow the changed identity.
            let school = f.resource("schools");
            school["jsonSchemaForInsert"]["properties"]["districtReference"]["properties"]["parentDistrictId"] =
                json!({"type": "integer", "format": "int64"});
            let mapping = &mut school["documentPathsMapping"]["District"]["referenceJsonPaths"];
            *mapping = json!([
                {"identityJsonPath": "$.districtId", "referenceJsonPath": "$.districtReference.districtId"},
                {"identityJsonPath": "$.parentDistrictReference.districtId", "referenceJsonPath": "$.districtReference.parentDistrictId"},
            ]);
        },
    );
}

#[test]
fn an_identity_cycle_over_several_types() {
    let errors = refused(CORE, "identityJsonPaths", "the identity contains itself", |f| {
        // The student's identity now contains the section association's, which contains the student's.
        let student = f.resource("students");
        student["jsonSchemaForInsert"]["properties"]["firstAssociationReference"] = json!({
            "type": "object", "properties": {"beginDate": {"type": "string", "format": "date"}},
        });
        student["documentPathsMapping"]["FirstAssociation"] = json!({
            "isReference": true, "isDescriptor": false, "projectName": "Meadow", "resourceName": "StudentSectionAssociation",
            "referenceJsonPaths": [{"identityJsonPath": "$.beginDate", "referenceJsonPath": "$.firstAssociationReference.beginDate"}],
        });
        student["identityJsonPaths"] = json!(["$.firstAssociationReference.beginDate", "$.studentUniqueId"]);
    });
    let cycle = errors.iter().find(|e| e.problem.contains("contains itself")).expect("asserted above");
    assert!(cycle.problem.contains("$.firstAssociationReference.beginDate"), "{cycle}");
    assert!(cycle.problem.contains("$.studentReference.studentUniqueId"), "{cycle}");
}

#[test]
fn an_identity_cycle_through_an_abstract_type() {
    refused(CORE, "identityJsonPaths", "through Meadow EducationOrganization", |f| {
        let district = f.resource("districts");
        district["jsonSchemaForInsert"]["properties"]["ownerReference"] = json!({"type": "object", "properties": {"educationOrganizationId": {"type": "integer", "format": "int64"}}});
        district["documentPathsMapping"]["Owner"] = json!({
            "isReference": true, "isDescriptor": false, "projectName": "Meadow", "resourceName": "EducationOrganization",
            "referenceJsonPaths": [{"identityJsonPath": "$.educationOrganizationId", "referenceJsonPath": "$.ownerReference.educationOrganizationId"}],
        });
        district["identityJsonPaths"] = json!(["$.districtId", "$.ownerReference.educationOrganizationId"]);
    });
}

#[test]
fn targets_that_do_not_exist() {
    refused_alone(
        CORE,
        "sections.documentPathsMapping.CourseOffering.resourceName",
        "no resource Meadow CourseOfering",
        |f| {
            f.resource("sections")["documentPathsMapping"]["CourseOffering"]["resourceName"] = json!("CourseOfering");
        },
    );
    refused_alone(
        CORE,
        "sessions.documentPathsMapping.TermDescriptor.resourceName",
        "no resource Elsewhere TermDescriptor",
        |f| {
            f.resource("sessions")["documentPathsMapping"]["TermDescriptor"]["projectName"] = json!("Elsewhere");
        },
    );
    refused_alone(CORE, "schools.superclassResourceName", "abstractResources", |f| {
        f.resource("schools")["superclassResourceName"] = json!("Organization");
    });
    refused_alone(EXTENSION, "documentPathsMapping.OperatedBy.resourceName", "names projectName", |f| {
        f.added("busRoutes")["documentPathsMapping"]["OperatedBy"]["projectName"] = Value::Null;
    });
}

#[test]
fn a_descriptor_where_a_document_belongs_and_the_reverse() {
    refused(CORE, "TermDescriptor.resourceName", "is not a descriptor", |f| {
        f.resource("sessions")["documentPathsMapping"]["TermDescriptor"]["resourceName"] = json!("Student");
    });
    refused(CORE, "School.resourceName", "is a descriptor", |f| {
        f.resource("sessions")["documentPathsMapping"]["School"]["resourceName"] = json!("TermDescriptor");
    });
}

#[test]
fn reference_elements_that_do_not_fit_the_targets_identity() {
    let elements =
        |f: &mut Files| f.resource("sections")["documentPathsMapping"]["CourseOffering"]["referenceJsonPaths"].take();
    let place = "sections.documentPathsMapping.CourseOffering.referenceJsonPaths";
    for (change, words) in [("short", "fit the identity"), ("twice", "fit the identity"), ("other", "fit the identity")]
    {
        refused_alone(CORE, place, words, |f| {
            let mut list = elements(f);
            let items = list.as_array_mut().expect("the fixture has elements");
            match change {
                "short" => drop(items.pop()),
                "twice" => items.push(items[0].clone()),
                _ => items[0]["identityJsonPath"] = json!("$.courseCode"),
            }
            f.resource("sections")["documentPathsMapping"]["CourseOffering"]["referenceJsonPaths"] = list;
        });
    }
    refused(CORE, "CourseOffering.referenceJsonPaths[0]", "must have one type", |f| {
        let reference = &mut f.resource("sections")["jsonSchemaForInsert"]["properties"]["courseOfferingReference"];
        reference["properties"]["localCourseCode"] = json!({"type": "integer"});
    });
}

#[test]
fn reference_members_in_different_objects() {
    refused(CORE, "documentPathsMapping.School.referenceJsonPaths", "one object of their own", |f| {
        f.resource("sessions")["documentPathsMapping"]["School"]["referenceJsonPaths"][0]["referenceJsonPath"] =
            json!("$.sessionName");
    });
    refused(CORE, "documentPathsMapping.School2", "same path", |f| {
        let mapping = f.resource("sessions")["documentPathsMapping"]["School"].clone();
        f.resource("sessions")["documentPathsMapping"]["School2"] = mapping;
    });
}

#[test]
fn a_plain_resource_without_an_identity() {
    refused(CORE, "programs.identityJsonPaths", "missing or empty", |f| {
        f.resource("programs")["identityJsonPaths"] = json!([]);
    });
    refused(CORE, "programs.identityJsonPaths", "missing or empty", |f| {
        f.resource("programs").as_object_mut().expect("a resource").remove("identityJsonPaths");
    });
}

#[test]
fn identity_paths_without_a_single_value() {
    let cases = [
        ("$.meetingTimes[*].startTime", "through an array"),
        ("$.schoolReference", "not a value"),
        ("$.nowhere", "not a value"),
        ("$.schoolReference.schoolId", "twice"),
    ];
    for (path, words) in cases {
        refused(CORE, "classPeriods.identityJsonPaths[2]", words, |f| {
            f.resource("classPeriods")["identityJsonPaths"].as_array_mut().expect("a list").push(json!(path));
        });
    }
}

#[test]
fn paths_that_do_not_follow_the_grammar() {
    let bad = ["districtId", "$['districtId']", "$.a[0].b", "$..a", "$"];
    for path in bad {
        let problem = "is not a path";
        refused(CORE, "districts.numericJsonPaths[0]", problem, |f| {
            f.resource("districts")["numericJsonPaths"][0] = json!(path)
        });
        refused(CORE, "documentPathsMapping.WebSite.path", problem, |f| {
            f.resource("districts")["documentPathsMapping"]["WebSite"]["path"] = json!(path);
        });
        refused(CORE, "nameOverrides['$.x y']", problem, |f| {
            f.resource("districts")["relational"] = json!({"nameOverrides": {"$.x y": "X"}});
        });
        refused(CORE, "equalityConstraints[0].sourceJsonPath", problem, |f| {
            f.resource("courseOfferings")["equalityConstraints"][0]["sourceJsonPath"] = json!(path);
        });
    }
}

#[test]
fn array_uniqueness_without_items_to_compare() {
    let cases = [
        (json!({"paths": ["$.addresses[*].town"]}), ".paths[0]", "not a value"),
        (json!({"paths": ["$.nameOfInstitution"]}), ".paths", "items of one array"),
        (
            json!({"paths": ["$.addresses[*].city", "$.gradeLevels[*].gradeLevelDescriptor"]}),
            ".paths",
            "items of one array",
        ),
        (json!({"paths": []}), ".paths", "nothing would be compared"),
        (
            json!({"paths": ["$.addresses[*].city"], "nestedConstraints": [{"basePath": "$.addresses[*]", "paths": ["$.city[*].x"]}]}),
            ".nestedConstraints[0].paths[0]",
            "not a value",
        ),
    ];
    for (constraint, place, words) in cases {
        refused_alone(CORE, &format!("schools.arrayUniquenessConstraints[0]{place}"), words, |f| {
            f.resource("schools")["arrayUniquenessConstraints"][0] = constraint;
        });
    }
}

#[test]
fn subclasses_that_differ_from_their_superclass() {
    refused_alone(CORE, "districts.superclassIdentityJsonPath", "not the identity of the superclass", |f| {
        f.resource("districts")["superclassIdentityJsonPath"] = json!("$.organizationId");
    });
    refused_alone(CORE, "districts.superclassIdentityJsonPath", "missing", |f| {
        f.resource("districts")["superclassIdentityJsonPath"] = Value::Null;
    });
    refused_alone(EXTENSION, "studentGardeningProgramAssociations.identityJsonPaths", "in the same order", |f| {
        f.added("studentGardeningProgramAssociations")["identityJsonPaths"].as_array_mut().expect("a list").reverse();
    });
    refused_alone(CORE, "schools.subclassType", "expected association or domainEntity", |f| {
        f.resource("schools")["subclassType"] = json!("mixin");
    });
    refused_alone(CORE, "schools.superclassResourceName", "superclassProjectName", |f| {
        f.resource("schools")["superclassProjectName"] = Value::Null;
    });
}

#[test]
fn decimals_too_large_for_a_column() {
    let at = "courseOfferings.decimalPropertyValidationInfos[0]";
    refused_alone(CORE, &format!("{at}.decimalPlaces"), "of 9 digits in all", |f| {
        f.resource("courseOfferings")["decimalPropertyValidationInfos"][0]["decimalPlaces"] = json!(10);
    });
    refused_alone(CORE, &format!("{at}.totalDigits"), "1 to 38", |f| {
        f.resource("courseOfferings")["decimalPropertyValidationInfos"][0]["totalDigits"] = json!(39);
    });
}
