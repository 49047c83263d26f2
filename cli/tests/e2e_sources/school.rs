//! A school with one class period, and students whose enrolments embed the name of the period.

use crate::support::http::{Http, Reply};
use serde_json::{Value, json};
use std::ops::Range;
use uuid::Uuid;

const GRADE: &str = "uri://meadow.example/GradeLevelDescriptor#First grade";
/// Number of students of a new school.
const STUDENTS: usize = 20;

/// The ids of the documents and their expected state.
pub(crate) struct School {
    id: i64,
    period: Uuid,
    period_name: String,
    /// Each student with the enrolment, unless it is deleted.
    students: Vec<(Uuid, Option<Uuid>)>,
    edits: usize,
}

async fn post(http: &Http, endpoint: &str, body: Value) -> Uuid {
    let reply = http.post(&format!("meadow/{endpoint}"), body.to_string()).await;
    let Reply { status: 200 | 201, id: Some(id), .. } = reply else { panic!("{endpoint}: {reply:?}") };
    id
}

async fn put(http: &Http, endpoint: &str, id: Uuid, mut body: Value) {
    body["id"] = json!(id);
    let reply = http.put(&format!("meadow/{endpoint}/{id}"), body.to_string()).await;
    assert!(reply.is_success(), "{endpoint}: {reply:?}");
}

fn student(number: usize, first_name: &str) -> Value {
    json!({"studentUniqueId": format!("P-{number}"), "firstName": first_name, "lastSurname": "Abara",
           "birthData": {"birthDate": "2014-01-01"}})
}

impl School {
    /// Posts the documents of a school.
    pub(crate) async fn create(http: &Http, id: i64) -> Self {
        let grade = json!({"namespace": "uri://meadow.example/GradeLevelDescriptor", "codeValue": "First grade",
                           "shortDescription": "First grade"});
        post(http, "gradeLevelDescriptors", grade).await;
        let grades = json!([{"gradeLevelDescriptor": GRADE}]);
        post(http, "schools", json!({"schoolId": id, "nameOfInstitution": "Alder", "gradeLevels": grades})).await;
        let name = "first".to_owned();
        let reference = json!({"schoolId": id});
        let period = json!({"classPeriodName": name, "schoolReference": reference});
        let period = post(http, "classPeriods", period).await;
        let mut students = Vec::with_capacity(STUDENTS);
        for number in 0..STUDENTS {
            let id_of_student = post(http, "students", student(number, "Ada")).await;
            let enrolment = json!({"entryDate": "2030-08-19", "schoolReference": reference,
                "studentReference": {"studentUniqueId": format!("P-{number}")}, "entryGradeLevelDescriptor": GRADE,
                "homeroomClassPeriodReference": {"classPeriodName": name, "schoolId": id}});
            students.push((id_of_student, Some(post(http, "studentSchoolAssociations", enrolment).await)));
        }
        Self { id, period, period_name: name, students, edits: 0 }
    }

    /// Renames the period, which every enrolment embeds.
    pub(crate) async fn rename(&mut self, http: &Http, name: &str) {
        name.clone_into(&mut self.period_name);
        let body = json!({"classPeriodName": name, "schoolReference": {"schoolId": self.id}});
        put(http, "classPeriods", self.period, body).await;
    }

    /// Gives some students another name.
    pub(crate) async fn edit(&mut self, http: &Http, numbers: Range<usize>) {
        self.edits += 1;
        for number in numbers {
            let body = student(number, &format!("Ada {}", self.edits));
            put(http, "students", self.students[number].0, body).await;
        }
    }

    /// Deletes some enrolments.
    pub(crate) async fn delete_enrolments(&mut self, http: &Http, numbers: Range<usize>) {
        for number in numbers {
            let Some(enrolment) = self.students[number].1.take() else { continue };
            let reply = http.try_delete(&format!("meadow/studentSchoolAssociations/{enrolment}")).await;
            assert!(reply.as_ref().is_ok_and(Reply::is_success), "{reply:?}");
        }
    }

    pub(crate) fn period_name(&self) -> &str {
        &self.period_name
    }

    /// Returns the number of enrolments.
    pub(crate) fn enrolled(&self) -> usize {
        self.students.iter().filter(|(_, enrolment)| enrolment.is_some()).count()
    }
}
