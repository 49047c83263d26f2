//! Renames that violate a constraint (docs/design/rules.md#rule-13) or exceed a bound (docs/design/rules.md#rule-12), and
//! equal bodies with different meaning (docs/design/rules.md#rule-10). Proves IDENTITY, EDGES, ATOMIC.

use crate::support::{Act, Actor, Doc, Fixture, References, Schedule, Scheduler, Situation, meadow, refused, written};
use Doc::{H, R};
use Situation::{AtGate, Done};
use millstream_writer::{Outcome, Preconditions, WriteError, Writer, WriterOptions, Written};
use serde_json::{Value, json};
use std::sync::Arc;
use uuid::Uuid;

const GRADE: &str = "uri://meadow.example/GradeLevelDescriptor#One";
const TERM: &str = "uri://meadow.example/TermDescriptor#Fall";

/// Two schools with documents that equality constraints bind to them.
struct Meadow {
    fixture: Fixture,
    session: Uuid,
    period: Uuid,
}

fn session(school: i64, name: &str) -> Value {
    json!({"sessionName": name, "schoolReference": {"schoolId": school}, "schoolYearTypeReference": {"schoolYear": 2031},
           "termDescriptor": TERM, "beginDate": "2030-08-19", "endDate": "2030-12-20", "totalInstructionalDays": 80})
}

fn period(school: i64, name: &str) -> Value {
    json!({"classPeriodName": name, "schoolReference": {"schoolId": school}})
}

fn session_reference(name: &str) -> Value {
    json!({"schoolId": 1, "schoolYear": 2031, "sessionName": name})
}

fn enrolment(student: usize) -> Value {
    json!({"entryDate": "2030-08-19", "schoolReference": {"schoolId": 1}, "entryGradeLevelDescriptor": GRADE,
           "studentReference": {"studentUniqueId": format!("S-{student}")},
           "homeroomClassPeriodReference": {"classPeriodName": "1st", "schoolId": 1}})
}

impl Meadow {
    async fn new() -> Self {
        let fixture = meadow().await;
        for (endpoint, code) in [("gradeLevelDescriptors", "One"), ("termDescriptors", "Fall")] {
            let kind = if code == "One" { "GradeLevelDescriptor" } else { "TermDescriptor" };
            let namespace = format!("uri://meadow.example/{kind}");
            fixture.post(endpoint, json!({"namespace": namespace, "codeValue": code, "shortDescription": code})).await;
        }
        let year = json!({"schoolYear": 2031, "currentSchoolYear": true, "schoolYearDescription": "2030-2031"});
        fixture.post("schoolYearTypes", year).await;
        for school in [1, 2] {
            let grades = json!([{"gradeLevelDescriptor": GRADE}]);
            fixture
                .post("schools", json!({"schoolId": school, "nameOfInstitution": "Alder", "gradeLevels": grades}))
                .await;
        }
        for student in 0..3 {
            let birth = json!({"birthDate": "2014-01-01"});
            fixture
                .post(
                    "students",
                    json!({"studentUniqueId": format!("S-{student}"), "firstName": "Ada",
                                        "lastSurname": "Abara", "birthData": birth}),
                )
                .await;
        }
        let session = fixture.post("sessions", session(1, "Fall")).await.uuid;
        let period = fixture.post("classPeriods", period(1, "1st")).await.uuid;
        Self { fixture, session, period }
    }

    /// Creates a closure of four levels: the session, an offering, a section in the class period, and a student in it.
    async fn create_closure(&self) {
        let offering = json!({"localCourseCode": "ALG-1", "schoolReference": {"schoolId": 1},
                              "sessionReference": session_reference("Fall")});
        self.fixture.post("courseOfferings", offering).await;
        let mut reference = session_reference("Fall");
        reference["localCourseCode"] = json!("ALG-1");
        let periods = json!([{"classPeriodReference": {"classPeriodName": "1st", "schoolId": 1}}]);
        let section =
            json!({"sectionIdentifier": "S00", "courseOfferingReference": reference, "classPeriods": periods});
        self.fixture.post("sections", section).await;
        reference["sectionIdentifier"] = json!("S00");
        let student = json!({"studentUniqueId": "S-0"});
        let attends = json!({"beginDate": "2030-08-19", "sectionReference": reference, "studentReference": student});
        self.fixture.post("studentSectionAssociations", attends).await;
    }

    /// Puts the session through a writer with these options.
    async fn put_session(&self, options: WriterOptions, body: Value) -> Result<Written, WriteError> {
        self.put_with(options, "sessions", self.session, body).await
    }

    async fn put_with(
        &self,
        options: WriterOptions,
        endpoint: &str,
        id: Uuid,
        mut body: Value,
    ) -> Result<Written, WriteError> {
        let writer =
            Writer::new(self.fixture.db().clone(), Arc::clone(&self.fixture.mapping), options).expect("a writer");
        body["id"] = json!(id.to_string());
        let body = body.to_string().into_bytes();
        writer.put(self.fixture.resource(endpoint), id, &body, &Preconditions::default()).await
    }

    async fn outbox_rows(&self) -> i64 {
        self.fixture.value(r#"SELECT count(*) FROM "dms"."Outbox""#, &[]).await
    }

    /// Returns the text of a refusal; checks that nothing was written.
    async fn refusal(&self, before: i64, result: Result<Written, WriteError>) -> String {
        let Err(WriteError::RenameRefused { detail }) = result else { panic!("not refused: {result:?}") };
        assert_eq!(self.outbox_rows().await, before, "a refused rename wrote outbox rows");
        self.fixture.check().await;
        detail
    }
}

/// docs/design/rules.md#rule-13: a session with course offerings cannot move to another school. A new name is accepted
/// and reaches all four levels.
#[tokio::test(flavor = "multi_thread")]
async fn a_rename_that_breaks_an_equality_of_its_closure_is_refused() {
    let meadow = Meadow::new().await;
    meadow.create_closure().await;
    let before = meadow.outbox_rows().await;
    let moved = meadow.fixture.try_put("sessions", meadow.session, session(2, "Fall")).await;
    let detail = meadow.refusal(before, moved).await;
    let offering: Uuid = meadow
        .fixture
        .value(
            r#"SELECT "DocumentUuid" FROM "dms"."Document" d JOIN "dms"."ResourceKey" k USING ("ResourceKeyId")
               WHERE k."ResourceName" = 'CourseOffering'"#,
            &[],
        )
        .await;
    for part in ["CourseOffering", "$.schoolReference.schoolId", "$.sessionReference.schoolId", &offering.to_string()] {
        assert!(detail.contains(part), "{part} is not in: {detail}");
    }
    let renamed = meadow.fixture.put("sessions", meadow.session, session(1, "Autumn")).await;
    assert_eq!(renamed.outcome, Outcome::Updated);
    let sql = r#"SELECT count(*) FROM "dms"."ReferentialIdentity" WHERE 'Autumn' = ANY ("IdentityValues")"#;
    assert_eq!(meadow.fixture.value::<i64>(sql, &[]).await, 4);
    meadow.fixture.check().await;
}

/// docs/design/rules.md#rule-13 for referrers outside the closure: the class period of a homeroom or a section cannot
/// move to another school while they refer to it.
#[tokio::test(flavor = "multi_thread")]
async fn a_rename_that_breaks_an_equality_of_a_referrer_is_refused() {
    let meadow = Meadow::new().await;
    let moved = meadow.fixture.put("classPeriods", meadow.period, period(2, "1st")).await;
    assert_eq!(moved.outcome, Outcome::Updated, "no referrer objects");
    meadow.fixture.put("classPeriods", meadow.period, period(1, "1st")).await;
    let enrolled = meadow.fixture.post("studentSchoolAssociations", enrolment(0)).await;
    let before = meadow.outbox_rows().await;
    let moved = meadow.fixture.try_put("classPeriods", meadow.period, period(2, "1st")).await;
    let detail = meadow.refusal(before, moved).await;
    assert!(detail.contains("StudentSchoolAssociation") && detail.contains(&enrolled.uuid.to_string()), "{detail}");
    meadow.fixture.delete("studentSchoolAssociations", enrolled.uuid).await.expect("deleted");

    meadow.create_closure().await;
    let before = meadow.outbox_rows().await;
    let moved = meadow.fixture.try_put("classPeriods", meadow.period, period(2, "1st")).await;
    assert!(meadow.refusal(before, moved).await.contains("Section"));
    meadow.fixture.put("classPeriods", meadow.period, period(1, "first")).await;
    meadow.fixture.check().await;
}

/// docs/design/rules.md#rule-13, the race with an insert of a referrer that the rename would break. The rename waits for
/// the insert and is refused; or the insert waits for the rename and does not find its target.
#[tokio::test(flavor = "multi_thread")]
async fn a_rename_sees_referrers_that_are_being_inserted() {
    let meadow = Meadow::new().await;
    let scheduler = Scheduler::install(&meadow.fixture).await;
    let (a, b) = (Actor::new(&meadow.fixture, "A").await, Actor::new(&meadow.fixture, "B").await);
    scheduler.close("A").await;
    let insert = scheduler.start("A", a.clone().post("studentSchoolAssociations", enrolment(0)));
    scheduler.expect([("A", AtGate)]).await;
    let rename = scheduler.start("B", b.clone().put("classPeriods", meadow.period, period(2, "1st")));
    scheduler.expect([("A", AtGate), ("B", Situation::behind("A"))]).await;
    scheduler.open("A").await;
    scheduler.expect([("A", Done), ("B", Done)]).await;
    let enrolled = written(insert).await;
    assert!(matches!(refused(rename).await, WriteError::RenameRefused { .. }));
    meadow.fixture.delete("studentSchoolAssociations", enrolled.uuid).await.expect("deleted");

    scheduler.close("B").await;
    let rename = scheduler.start("B", b.put("classPeriods", meadow.period, period(2, "1st")));
    scheduler.expect([("A", Done), ("B", AtGate)]).await;
    let insert = scheduler.start("A", a.post("studentSchoolAssociations", enrolment(1)));
    scheduler.expect([("A", Situation::behind("B")), ("B", AtGate)]).await;
    scheduler.open("B").await;
    scheduler.expect([("A", Done), ("B", Done)]).await;
    assert_eq!(written(rename).await.outcome, Outcome::Updated);
    assert!(matches!(refused(insert).await, WriteError::UnresolvedReference { .. }));
    meadow.fixture.check().await;
}

/// The bounds of docs/design/rules.md#rule-12 and docs/design/rules.md#rule-13: a closure that is too large or too deep,
/// or too many referrers to check, is refused with its size and changes nothing.
#[tokio::test(flavor = "multi_thread")]
async fn renames_beyond_a_bound_are_refused() {
    let meadow = Meadow::new().await;
    meadow.create_closure().await;
    let before = meadow.outbox_rows().await;
    for (options, words) in [
        (WriterOptions { closure_max: 3, ..WriterOptions::default() }, "identity.closure_max"),
        (WriterOptions { closure_depth_max: 3, ..WriterOptions::default() }, "identity.closure_depth_max"),
    ] {
        let refused = meadow.put_session(options, session(1, "Autumn")).await;
        assert!(meadow.refusal(before, refused).await.contains(words));
    }
    let fits = WriterOptions { closure_max: 4, closure_depth_max: 4, ..WriterOptions::default() };
    meadow.put_session(fits, session(1, "Autumn")).await.expect("four documents in four levels");

    let meadow = Meadow::new().await;
    for student in 0..3 {
        meadow.fixture.post("studentSchoolAssociations", enrolment(student)).await;
    }
    let before = meadow.outbox_rows().await;
    let two = WriterOptions { closure_max: 2, ..WriterOptions::default() };
    let refused = meadow.put_with(two, "classPeriods", meadow.period, period(2, "1st")).await;
    let detail = meadow.refusal(before, refused).await;
    assert!(detail.contains("more than 2"), "{detail}");
}

/// docs/design/rules.md#rule-1, the closure: a document that joins it while the rename waits for its locks is renamed too.
#[tokio::test(flavor = "multi_thread")]
async fn a_rename_includes_documents_that_joined_its_closure_while_it_waited() {
    for inserted in [true, false] {
        let mut schedule = Schedule::new(References { hub_of_m: Doc::G, ..References::NONE }).await;
        let joining = if inserted {
            let a = schedule.actor("A").await;
            let hub = json!({"hubName": format!("{} H", schedule.documents.tag)});
            schedule.start_request("A", a.post("spokes", json!({"spokeName": "new", "hubReference": hub}))).await
        } else {
            schedule.start("A", Act::Point(Doc::M, H)).await
        };
        let rename = schedule.start("B", Act::Rename(H)).await;
        schedule.expect([("A", AtGate), ("B", Situation::behind("A"))]).await;
        schedule.open("A").await;
        schedule.open("B").await;
        let (joined, renamed) = (written(joining).await, written(rename).await);
        let (version, body) = schedule.fixture.body("spokes", joined.uuid).await;
        assert_eq!(body["hubReference"]["hubName"], format!("{} H'", schedule.documents.tag));
        assert!(version > renamed.version && renamed.version > joined.version);
        // References resolve by the new identity, not by the old one.
        let hub = |name: &str| json!({"hubName": format!("{} {name}", schedule.documents.tag), "spokeName": body["spokeName"]});
        let found = schedule.fixture.post("rims", json!({"rimId": "new", "spokeReference": hub("H'")})).await;
        assert_eq!(found.outcome, Outcome::Created);
        let lost = schedule.fixture.try_post("rims", json!({"rimId": "old", "spokeReference": hub("H")})).await;
        assert!(matches!(lost, Err(WriteError::UnresolvedReference { .. })), "{lost:?}");
        schedule.finish().await;
    }
}

/// docs/design/rules.md#rule-12: `cascade.strict_max` counts only referrers outside the closure.
#[tokio::test(flavor = "multi_thread")]
async fn the_strict_bound_counts_referrers_outside_the_closure_only() {
    let meadow = Meadow::new().await;
    meadow.create_closure().await;
    for (number, strict_max, cascades) in [(1, 1, 0), (2, 1, 1)] {
        let advice = json!({"recommendationIdentifier": format!("REC/{number}"), "sessionReference": session_reference("Fall"),
                            "studentReference": {"studentUniqueId": "S-0"}});
        meadow.fixture.post("standardizedAssessmentAccommodationRecommendations", advice).await;
        let options = WriterOptions { strict_max, ..WriterOptions::default() };
        meadow.put_session(options, session(1, "Autumn")).await.expect("renamed");
        assert_eq!(meadow.fixture.cascades().await.len(), cascades, "{number} referrers outside, a closure of 4");
        meadow.fixture.work_off_cascades().await;
        meadow.fixture.put("sessions", meadow.session, session(1, "Fall")).await;
    }
    meadow.fixture.check().await;
}

/// docs/design/rules.md#rule-10: after a rename, an old body may refer to another document. Bodies are compared by the
/// documents that they resolve to.
#[tokio::test(flavor = "multi_thread")]
async fn the_same_body_may_mean_another_document() {
    let mut schedule = Schedule::new(References::H).await;
    let (old_name, new_name) = (format!("{} H", schedule.documents.tag), format!("{} renamed", schedule.documents.tag));
    let (_, old_body) = schedule.documents.body(&schedule.fixture, R).await;
    schedule.fixture.put("hubs", schedule.documents.id(H), json!({"hubName": new_name})).await;
    let (version, new_body) = schedule.documents.body(&schedule.fixture, R).await;
    assert_eq!(new_body["firstHubReference"]["hubName"], new_name.as_str());

    // Another body with the same rows.
    let unchanged = schedule.fixture.put("rims", schedule.documents.id(R), new_body.clone()).await;
    assert_eq!((unchanged.outcome, unchanged.version), (Outcome::Unchanged, version));
    // The same body with other rows.
    let namesake = schedule.fixture.post("hubs", json!({"hubName": old_name})).await;
    let updated = schedule.fixture.put("rims", schedule.documents.id(R), old_body).await;
    assert_eq!(updated.outcome, Outcome::Updated);
    schedule.observe().await;
    schedule.fixture.put("hubs", namesake.uuid, json!({"hubName": "elsewhere"})).await;
    let (_, body) = schedule.documents.body(&schedule.fixture, R).await;
    assert_eq!(body["firstHubReference"]["hubName"], "elsewhere", "R refers to the document with the old name");
    schedule.observe().await;
    schedule.finish().await;
}
