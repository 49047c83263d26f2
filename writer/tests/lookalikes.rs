//! Different identities with equal ReferentialIds: the hashed name joins path and value with `=` and `#`, which values may
//! contain. The writer must not confuse them (IDENTITY).

use millstream_store::verify::{VerifyOptions, verify};
use millstream_testkit::{TestDatabase, World};
use millstream_writer::{Outcome, Preconditions, WriteError, Writer, WriterOptions, Written};
use serde_json::{Value, json};
use std::sync::Arc;

/// A database of the fixtures with a writer.
struct LookalikeTest {
    world: &'static World,
    database: TestDatabase,
    writer: Writer,
}

impl LookalikeTest {
    async fn new() -> Self {
        let world = World::fixtures();
        let database = world.database().await;
        let options = WriterOptions::default();
        let writer = Writer::new(database.database().clone(), Arc::clone(&world.mapping), options);
        let test = Self { world, database, writer: writer.expect("schemas compile") };
        let term = json!({"namespace": "uri://x", "codeValue": "Fall", "shortDescription": "Fall"});
        test.create("termDescriptors", &term).await;
        let grade = json!({"namespace": "uri://x", "codeValue": "First", "shortDescription": "First"});
        test.create("gradeLevelDescriptors", &grade).await;
        test.create(
            "schoolYearTypes",
            &json!({"schoolYear": 2031, "currentSchoolYear": true, "schoolYearDescription": "2031"}),
        )
        .await;
        let levels = json!([{"gradeLevelDescriptor": "uri://x#First"}]);
        test.create("schools", &json!({"schoolId": 1, "nameOfInstitution": "One", "gradeLevels": levels})).await;
        test
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

    /// Creates a session of this name with a course offering.
    async fn create_offering(&self, session: &str) {
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
    let test = LookalikeTest::new().await;
    let (short, long) = ("S", "S#$.sectionIdentifier=x");
    test.create_offering(short).await;
    test.create_offering(long).await;
    test.create("sections", &section(long, "y")).await;

    let lookalike = section(short, "x#$.sectionIdentifier=y");
    let refused = test.post("sections", &lookalike).await.expect_err("the section differs");
    assert!(matches!(refused, WriteError::IdentityConflict { .. }), "{refused:?}");

    test.create("students", &json!({"studentUniqueId": "T", "firstName": "A", "lastSurname": "B", "birthData": {"birthDate": "2020-01-01"}})).await;
    let enrolment = |session: &str, identifier: &str| {
        let section = json!({"localCourseCode": "C", "schoolId": 1, "schoolYear": 2031, "sessionName": session, "sectionIdentifier": identifier});
        json!({"beginDate": "2030-08-19", "sectionReference": section, "studentReference": {"studentUniqueId": "T"}})
    };
    let refused = test.post("studentSectionAssociations", &enrolment(short, "x#$.sectionIdentifier=y")).await;
    assert!(matches!(refused, Err(WriteError::UnresolvedReference { .. })), "{refused:?}");
    test.create("studentSectionAssociations", &enrolment(long, "y")).await;

    let options = VerifyOptions::default();
    let report = verify(test.database.database(), &test.world.mapping, &options, &mut |_| {}).await.expect("verified");
    assert_eq!(report.difference_count(), 0, "{:#?}", report.differences);
}

#[tokio::test]
async fn no_two_descriptors_have_one_uri() {
    let test = LookalikeTest::new().await;
    let term =
        |namespace: &str, code: &str| json!({"namespace": namespace, "codeValue": code, "shortDescription": code});
    test.create("termDescriptors", &term("uri://y", "b#c")).await;
    let refused = test.post("termDescriptors", &term("uri://y#b", "c")).await.expect_err("the URI is taken");
    let WriteError::Invalid { validation_errors, .. } = refused else { panic!("{refused:?}") };
    assert!(validation_errors.contains_key("$.namespace"), "{validation_errors:?}");
}
