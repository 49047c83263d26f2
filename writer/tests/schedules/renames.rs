//! Renames that would break something
//! (docs/design/rules.md#rule-13), that are too large
//! (docs/design/rules.md#rule-12), and bodies that look the same and are not
//! (docs/design/rules.md#rule-10). Proves IDENTITY, EDGES, ATOMIC.

use crate::support::{Act, Actor, Bed, Doc, Play, References, Situation, Stage, meadow, refused, written};
use Doc::{H, R};
use Situation::{AtGate, Done};
use millstream_writer::{Outcome, Preconditions, WriteError, Writer, WriterOptions, Written};
use serde_json::{Value, json};
use std::sync::Arc;
use uuid::Uuid;

const GRADE: &str = "uri://meadow.example/GradeLevelDescriptor#One";
const TERM: &str = "uri://meadow.example/TermDescriptor#Fall";

/// Two schools with what rules tie to them.
struct Meadow {
    bed: Bed,
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
        let bed = meadow().await;
        for (endpoint, code) in [("gradeLevelDescriptors", "One"), ("termDescriptors", "Fall")] {
            let kind = if code == "One" { "GradeLevelDescriptor" } else { "TermDescriptor" };
            let namespace = format!("uri://meadow.example/{kind}");
            bed.post(endpoint, json!({"namespace": namespace, "codeValue": code, "shortDescription": code})).await;
        }
        let year = json!({"schoolYear": 2031, "currentSchoolYear": true, "schoolYearDescription": "2030-2031"});
        bed.post("schoolYearTypes", year).await;
        for school in [1, 2] {
            let grades = json!([{"gradeLevelDescriptor": GRADE}]);
            bed.post("schools", json!({"schoolId": school, "nameOfInstitution": "Alder", "gradeLevels": grades})).await;
        }
        for student in 0..3 {
            let birth = json!({"birthDate": "2014-01-01"});
            bed.post(
                "students",
                json!({"studentUniqueId": format!("S-{student}"), "firstName": "Ada",
                                        "lastSurname": "Abara", "birthData": birth}),
            )
            .await;
        }
        let session = bed.post("sessions", session(1, "Fall")).await.uuid;
        let period = bed.post("classPeriods", period(1, "1st")).await.uuid;
        Self { bed, session, period }
    }

    /// Four levels of identities: the session, an offering, a section in the class period, and a student in it.
    async fn closure(&self) {
        let offering = json!({"localCourseCode": "ALG-1", "schoolReference": {"schoolId": 1},
                              "sessionReference": session_reference("Fall")});
        self.bed.post("courseOfferings", offering).await;
        let mut reference = session_reference("Fall");
        reference["localCourseCode"] = json!("ALG-1");
        let periods = json!([{"classPeriodReference": {"classPeriodName": "1st", "schoolId": 1}}]);
        let section =
            json!({"sectionIdentifier": "S00", "courseOfferingReference": reference, "classPeriods": periods});
        self.bed.post("sections", section).await;
        reference["sectionIdentifier"] = json!("S00");
        let student = json!({"studentUniqueId": "S-0"});
        let attends = json!({"beginDate": "2030-08-19", "sectionReference": reference, "studentReference": student});
        self.bed.post("studentSectionAssociations", attends).await;
    }

    /// Puts a session through a writer with these bounds.
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
        let writer = Writer::new(self.bed.db().clone(), Arc::clone(&self.bed.mapping), options).expect("a writer");
        body["id"] = json!(id.to_string());
        let body = body.to_string().into_bytes();
        writer.put(self.bed.resource(endpoint), id, &body, &Preconditions::default()).await
    }

    async fn outbox_rows(&self) -> i64 {
        self.bed.value(r#"SELECT count(*) FROM "dms"."Outbox""#, &[]).await
    }

    /// The refusal's words; nothing was written.
    async fn refusal(&self, before: i64, result: Result<Written, WriteError>) -> String {
        let Err(WriteError::RenameRefused { detail }) = result else { panic!("not refused: {result:?}") };
        assert_eq!(self.outbox_rows().await, before, "a refused rename left something");
        self.bed.check().await;
        detail
    }
}

/// docs/design/rules.md#rule-13: a session cannot move to another school under its course offerings; a new name does
/// them no harm, and reaches
/// all four levels.
#[tokio::test(flavor = "multi_thread")]
async fn a_rename_that_breaks_an_equality_of_its_closure_is_refused() {
    let meadow = Meadow::new().await;
    meadow.closure().await;
    let before = meadow.outbox_rows().await;
    let moved = meadow.bed.try_put("sessions", meadow.session, session(2, "Fall")).await;
    let detail = meadow.refusal(before, moved).await;
    let offering: Uuid = meadow
        .bed
        .value(
            r#"SELECT "DocumentUuid" FROM "dms"."Document" d JOIN "dms"."ResourceKey" k USING ("ResourceKeyId")
               WHERE k."ResourceName" = 'CourseOffering'"#,
            &[],
        )
        .await;
    for part in ["CourseOffering", "$.schoolReference.schoolId", "$.sessionReference.schoolId", &offering.to_string()] {
        assert!(detail.contains(part), "{part} is not in: {detail}");
    }
    let renamed = meadow.bed.put("sessions", meadow.session, session(1, "Autumn")).await;
    assert_eq!(renamed.outcome, Outcome::Updated);
    let sql = r#"SELECT count(*) FROM "dms"."ReferentialIdentity" WHERE 'Autumn' = ANY ("IdentityValues")"#;
    assert_eq!(meadow.bed.value::<i64>(sql, &[]).await, 4);
    meadow.bed.check().await;
}

/// docs/design/rules.md#rule-13 for referrers outside the closure: a homeroom cannot move away from its students'
/// school, nor a section's
/// class period from its offering's; without them it can.
#[tokio::test(flavor = "multi_thread")]
async fn a_rename_that_breaks_an_equality_of_a_referrer_is_refused() {
    let meadow = Meadow::new().await;
    let there = meadow.bed.put("classPeriods", meadow.period, period(2, "1st")).await;
    assert_eq!(there.outcome, Outcome::Updated, "nobody minds");
    meadow.bed.put("classPeriods", meadow.period, period(1, "1st")).await;
    let enrolled = meadow.bed.post("studentSchoolAssociations", enrolment(0)).await;
    let before = meadow.outbox_rows().await;
    let moved = meadow.bed.try_put("classPeriods", meadow.period, period(2, "1st")).await;
    let detail = meadow.refusal(before, moved).await;
    assert!(detail.contains("StudentSchoolAssociation") && detail.contains(&enrolled.uuid.to_string()), "{detail}");
    meadow.bed.delete("studentSchoolAssociations", enrolled.uuid).await.expect("deleted");

    meadow.closure().await;
    let before = meadow.outbox_rows().await;
    let moved = meadow.bed.try_put("classPeriods", meadow.period, period(2, "1st")).await;
    assert!(meadow.refusal(before, moved).await.contains("Section"));
    meadow.bed.put("classPeriods", meadow.period, period(1, "first")).await;
    meadow.bed.check().await;
}

/// docs/design/rules.md#rule-13, the race: a referrer that the rename would break is being inserted. The rename waits
/// for it and is refused;
/// or the referrer waits for the rename and does not find what it refers to.
#[tokio::test(flavor = "multi_thread")]
async fn a_rename_sees_referrers_that_are_being_inserted() {
    let meadow = Meadow::new().await;
    let stage = Stage::build(&meadow.bed).await;
    let (a, b) = (Actor::new(&meadow.bed, "A").await, Actor::new(&meadow.bed, "B").await);
    stage.close("A").await;
    let insert = stage.start("A", a.clone().post("studentSchoolAssociations", enrolment(0)));
    stage.expect([("A", AtGate)]).await;
    let rename = stage.start("B", b.clone().put("classPeriods", meadow.period, period(2, "1st")));
    stage.expect([("A", AtGate), ("B", Situation::behind("A"))]).await;
    stage.open("A").await;
    stage.expect([("A", Done), ("B", Done)]).await;
    let enrolled = written(insert).await;
    assert!(matches!(refused(rename).await, WriteError::RenameRefused { .. }));
    meadow.bed.delete("studentSchoolAssociations", enrolled.uuid).await.expect("deleted");

    stage.close("B").await;
    let rename = stage.start("B", b.put("classPeriods", meadow.period, period(2, "1st")));
    stage.expect([("A", Done), ("B", AtGate)]).await;
    let insert = stage.start("A", a.post("studentSchoolAssociations", enrolment(1)));
    stage.expect([("A", Situation::behind("B")), ("B", AtGate)]).await;
    stage.open("B").await;
    stage.expect([("A", Done), ("B", Done)]).await;
    assert_eq!(written(rename).await.outcome, Outcome::Updated);
    assert!(matches!(refused(insert).await, WriteError::UnresolvedReference { .. }));
    meadow.bed.check().await;
}

/// docs/design/rules.md#rule-12 and docs/design/rules.md#rule-13, the bounds: a closure that is too large or too deep,
/// and more referrers to check than that; each is
/// refused with its size and changes nothing.
#[tokio::test(flavor = "multi_thread")]
async fn renames_beyond_a_bound_are_refused() {
    let meadow = Meadow::new().await;
    meadow.closure().await;
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
        meadow.bed.post("studentSchoolAssociations", enrolment(student)).await;
    }
    let before = meadow.outbox_rows().await;
    let two = WriterOptions { closure_max: 2, ..WriterOptions::default() };
    let refused = meadow.put_with(two, "classPeriods", meadow.period, period(2, "1st")).await;
    let detail = meadow.refusal(before, refused).await;
    assert!(detail.contains("more than 2"), "{detail}");
}

/// docs/design/rules.md#rule-1, the closure: whoever comes into it while the rename waits for its locks is renamed with
/// it.
#[tokio::test(flavor = "multi_thread")]
async fn a_rename_takes_along_who_joined_its_closure_while_it_waited() {
    for inserted in [true, false] {
        let mut play = Play::set(References { hub_of_m: Doc::G, ..References::NONE }).await;
        let joining = if inserted {
            let a = play.actor("A").await;
            let hub = json!({"hubName": format!("{} H", play.scene.tag)});
            play.start_deed("A", a.post("spokes", json!({"spokeName": "new", "hubReference": hub}))).await
        } else {
            play.start("A", Act::Point(Doc::M, H)).await
        };
        let rename = play.start("B", Act::Rename(H)).await;
        play.stands([("A", AtGate), ("B", Situation::behind("A"))]).await;
        play.open("A").await;
        play.open("B").await;
        let (joined, renamed) = (written(joining).await, written(rename).await);
        let (version, body) = play.bed.body("spokes", joined.uuid).await;
        assert_eq!(body["hubReference"]["hubName"], format!("{} H'", play.scene.tag));
        assert!(version > renamed.version && renamed.version > joined.version);
        // By its new identity, and no longer by the old one.
        let hub = |name: &str| json!({"hubName": format!("{} {name}", play.scene.tag), "spokeName": body["spokeName"]});
        let found = play.bed.post("rims", json!({"rimId": "new", "spokeReference": hub("H'")})).await;
        assert_eq!(found.outcome, Outcome::Created);
        let lost = play.bed.try_post("rims", json!({"rimId": "old", "spokeReference": hub("H")})).await;
        assert!(matches!(lost, Err(WriteError::UnresolvedReference { .. })), "{lost:?}");
        play.finish().await;
    }
}

/// docs/design/rules.md#rule-12: `cascade.strict_max` counts only referrers outside the closure.
#[tokio::test(flavor = "multi_thread")]
async fn the_strict_bound_counts_referrers_outside_the_closure_only() {
    let meadow = Meadow::new().await;
    meadow.closure().await;
    for (number, strict_max, cascades) in [(1, 1, 0), (2, 1, 1)] {
        let advice = json!({"recommendationIdentifier": format!("REC/{number}"), "sessionReference": session_reference("Fall"),
                            "studentReference": {"studentUniqueId": "S-0"}});
        meadow.bed.post("standardizedAssessmentAccommodationRecommendations", advice).await;
        let options = WriterOptions { strict_max, ..WriterOptions::default() };
        meadow.put_session(options, session(1, "Autumn")).await.expect("renamed");
        assert_eq!(meadow.bed.cascades().await.len(), cascades, "{number} referrers outside, a closure of 4");
        meadow.bed.work_off_cascades().await;
        meadow.bed.put("sessions", meadow.session, session(1, "Fall")).await;
    }
    meadow.bed.check().await;
}

/// docs/design/rules.md#rule-10: after a rename, an old body may mean another document than before. It is compared by
/// what it resolves to.
#[tokio::test(flavor = "multi_thread")]
async fn the_same_body_may_mean_another_document() {
    let mut play = Play::set(References::H).await;
    let (old_name, new_name) = (format!("{} H", play.scene.tag), format!("{} renamed", play.scene.tag));
    let (_, old_body) = play.scene.body(&play.bed, R).await;
    play.bed.put("hubs", play.scene.id(H), json!({"hubName": new_name})).await;
    let (version, new_body) = play.scene.body(&play.bed, R).await;
    assert_eq!(new_body["firstHubReference"]["hubName"], new_name.as_str());

    // Other words, the same rows.
    let unchanged = play.bed.put("rims", play.scene.id(R), new_body.clone()).await;
    assert_eq!((unchanged.outcome, unchanged.version), (Outcome::Unchanged, version));
    // The same words, other rows.
    let namesake = play.bed.post("hubs", json!({"hubName": old_name})).await;
    let updated = play.bed.put("rims", play.scene.id(R), old_body).await;
    assert_eq!(updated.outcome, Outcome::Updated);
    play.look().await;
    play.bed.put("hubs", namesake.uuid, json!({"hubName": "elsewhere"})).await;
    let (_, body) = play.scene.body(&play.bed, R).await;
    assert_eq!(body["firstHubReference"]["hubName"], "elsewhere", "it refers to the namesake");
    play.look().await;
    play.finish().await;
}
