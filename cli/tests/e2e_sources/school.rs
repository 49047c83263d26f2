//! A school with one class period, and students whose enrolments embed the name of the period.

use crate::support::district::{class_period, enrolment_in_period, post, post_school, put, student};
use crate::support::http::{Http, Reply};
use std::ops::Range;
use uuid::Uuid;

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

/// Returns the identity of a student.
fn unique_id(number: usize) -> String {
    format!("P-{number}")
}

impl School {
    /// Posts the documents of a school.
    pub(crate) async fn create(http: &Http, id: i64) -> Self {
        post_school(http, id).await;
        let name = "first".to_owned();
        let period = post(http, "classPeriods", class_period(&name, id)).await;
        let mut students = Vec::with_capacity(STUDENTS);
        for number in 0..STUDENTS {
            let unique_id = unique_id(number);
            let id_of_student = post(http, "students", student(&unique_id, "Ada")).await;
            let enrolment = enrolment_in_period(&unique_id, id, &name);
            students.push((id_of_student, Some(post(http, "studentSchoolAssociations", enrolment).await)));
        }
        Self { id, period, period_name: name, students, edits: 0 }
    }

    /// Renames the period, which every enrolment embeds.
    pub(crate) async fn rename(&mut self, http: &Http, name: &str) {
        name.clone_into(&mut self.period_name);
        put(http, "classPeriods", self.period, class_period(name, self.id)).await;
    }

    /// Gives some students another name.
    pub(crate) async fn edit(&mut self, http: &Http, numbers: Range<usize>) {
        self.edits += 1;
        for number in numbers {
            let body = student(&unique_id(number), &format!("Ada {}", self.edits));
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
