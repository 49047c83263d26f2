//! The sample district: a school with its grade, and the bodies of the documents that refer to them.

use super::http::{Http, Reply};
use serde_json::{Value, json};
use uuid::Uuid;

/// The grade of the school.
const GRADE: &str = "uri://meadow.example/GradeLevelDescriptor#First grade";

/// Posts a document; returns its id.
pub(crate) async fn post(http: &Http, endpoint: &str, body: Value) -> Uuid {
    let reply = http.post(&format!("meadow/{endpoint}"), body.to_string()).await;
    let Reply { status: 200 | 201, id: Some(id), .. } = reply else { panic!("{endpoint}: {reply:?}") };
    id
}

/// Puts a document.
pub(crate) async fn put(http: &Http, endpoint: &str, id: Uuid, mut body: Value) {
    body["id"] = json!(id);
    let reply = http.put(&format!("meadow/{endpoint}/{id}"), body.to_string()).await;
    assert!(reply.is_success(), "{endpoint}: {reply:?}");
}

/// Posts a school and its grade; returns the id of the grade.
pub(crate) async fn post_school(http: &Http, id: i64) -> Uuid {
    let grade = post(http, "gradeLevelDescriptors", grade()).await;
    post(http, "schools", school(id)).await;
    grade
}

/// Returns the body of the descriptor [`GRADE`].
pub(crate) fn grade() -> Value {
    json!({"namespace": "uri://meadow.example/GradeLevelDescriptor", "codeValue": "First grade",
           "shortDescription": "First grade"})
}

/// Returns the body of a school.
pub(crate) fn school(id: i64) -> Value {
    json!({"schoolId": id, "nameOfInstitution": "Alder", "gradeLevels": [{"gradeLevelDescriptor": GRADE}]})
}

/// Returns the body of a class period, whose identity can change.
pub(crate) fn class_period(name: &str, school: i64) -> Value {
    json!({"classPeriodName": name, "schoolReference": {"schoolId": school}})
}

/// Returns the body of a student.
pub(crate) fn student(unique_id: &str, first_name: &str) -> Value {
    json!({"studentUniqueId": unique_id, "firstName": first_name, "lastSurname": "Abara",
           "birthData": {"birthDate": "2014-01-01"}})
}

/// Returns the body of an enrolment.
pub(crate) fn enrolment(student: &str, school: i64) -> Value {
    json!({"entryDate": "2030-08-19", "schoolReference": {"schoolId": school},
           "studentReference": {"studentUniqueId": student}, "entryGradeLevelDescriptor": GRADE})
}

/// Returns the body of an enrolment that embeds the name of a class period.
pub(crate) fn enrolment_in_period(student: &str, school: i64, period: &str) -> Value {
    let mut body = enrolment(student, school);
    body["homeroomClassPeriodReference"] = json!({"classPeriodName": period, "schoolId": school});
    body
}
