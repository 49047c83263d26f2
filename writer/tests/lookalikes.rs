//! Identities whose ReferentialIds are equal although they are not: the name that is hashed joins path and value with
//! `=` and `#`, which values may hold. None may be taken for the other (IDENTITY).

use millstream_store::verify::{VerifyOptions, verify};
use millstream_testkit::{TestDatabase, World};
use millstream_writer::{Outcome, Preconditions, WriteError, Writer, WriterOptions, Written};
use serde_json::{Value, json};
use std::sync::Arc;

struct Desk {
    world: &'static World,
    database: TestDatabase,
    writer: Writer,
}

impl Desk {
    async fn open() -> Self {
        let world = World::fixtures();
        let database = world.database().await;
        let options = WriterOptions::default();
        let writer = Writer::new(database.database().clone(), Arc::clone(&world.mapping), options);
        let desk = Self { world, database, writer: writer.expect("schemas compile") };
        let term = json!({"namespace": "uri://x", "codeValue": "Fall", "shortDescription": "Fall"});
        desk.create("termDescriptors", &term).await;
        let grade = json!({"namespace": "uri://x", "codeValue": "First", "shortDescription": "First"});
        desk.create("gradeLevelDescriptors", &grade).await;
        desk.create(
            "schoolYearTypes",
            &json!({"schoolYear": 2031, "currentSchoolYear": true, "schoolYearDescription": "2031"}),
        )
        .await;
        let levels = json!([{"gradeLevelDescriptor": "uri://x#First"}]);
        desk.create("schools", &json!({"schoolId": 1, "nameOfInstitution": "One", "gradeLevels": levels})).await;
        desk
    }

    async fn post(&self, endpoint: &str, body: &Value) -> Result<Written, WriteError> {
        let resource = self.world.mapping.route("meadow", endpoint).expect("a route");
        self.writer.post(resource, body.to_string().as_bytes(), &Preconditions::default()).await
    }

    async fn create(&self, endpoint: &str, body: &Value) -> Written {
        let written = self.post(endpoint, body).await.unwrap_or_else(|error| panic!("{body}: {error:?}"));
        assert_eq!(written.outcome, Outcome::Created, "{body}");
        written
    }

    /// A session of this name with a course offering.
    async fn offer(&self, session: &str) {
        let year = json!({"schoolYear": 2031});
        let body = json!({"sessionName": session, "schoolReference": {"schoolId": 1}, "schoolYearTypeReference": year,
            "termDescriptor": "uri://x#Fall", "beginDate": "2030-08-19", "endDate": "2030-12-20", "totalInstructionalDays": 80});
        self.create("sessions", &body).await;
        let reference = json!({"schoolId": 1, "schoolYear": 2031, "sessionName": session});
        let body = json!({"localCourseCode": "C", "schoolReference": {"schoolId": 1}, "sessionReference": reference});
        self.create("courseOfferings", &body).await;
    }
}

fn section(session: &str, identifier: &str) -> Value {
    let offering = json!({"localCourseCode": "C", "schoolId": 1, "schoolYear": 2031, "sessionName": session});
    json!({"sectionIdentifier": identifier, "courseOfferingReference": offering})
}

#[tokio::test]
async fn equal_referential_ids_are_not_taken_for_equal_identities() {
    let desk = Desk::open().await;
    let (short, long) = ("S", "S#$.sectionIdentifier=x");
    desk.offer(short).await;
    desk.offer(long).await;
    desk.create("sections", &section(long, "y")).await;

    let lookalike = section(short, "x#$.sectionIdentifier=y");
    let refused = desk.post("sections", &lookalike).await.expect_err("it is another section");
    assert!(matches!(refused, WriteError::IdentityConflict { .. }), "{refused:?}");

    desk.create("students", &json!({"studentUniqueId": "T", "firstName": "A", "lastSurname": "B", "birthData": {"birthDate": "2020-01-01"}})).await;
    let enrolment = |session: &str, identifier: &str| {
        let section = json!({"localCourseCode": "C", "schoolId": 1, "schoolYear": 2031, "sessionName": session, "sectionIdentifier": identifier});
        json!({"beginDate": "2030-08-19", "sectionReference": section, "studentReference": {"studentUniqueId": "T"}})
    };
    let refused = desk.post("studentSectionAssociations", &enrolment(short, "x#$.sectionIdentifier=y")).await;
    assert!(matches!(refused, Err(WriteError::UnresolvedReference { .. })), "{refused:?}");
    desk.create("studentSectionAssociations", &enrolment(long, "y")).await;

    let options = VerifyOptions::default();
    let report = verify(desk.database.database(), &desk.world.mapping, &options, &mut |_| {}).await.expect("verified");
    assert_eq!(report.difference_count(), 0, "{:#?}", report.differences);
}

#[tokio::test]
async fn no_two_descriptors_have_one_uri() {
    let desk = Desk::open().await;
    let term =
        |namespace: &str, code: &str| json!({"namespace": namespace, "codeValue": code, "shortDescription": code});
    desk.create("termDescriptors", &term("uri://y", "b#c")).await;
    let refused = desk.post("termDescriptors", &term("uri://y#b", "c")).await.expect_err("the URI is taken");
    let WriteError::Invalid { validation_errors, .. } = refused else { panic!("{refused:?}") };
    assert!(validation_errors.contains_key("$.namespace"), "{validation_errors:?}");
}
