//! The races that a writer resolves (docs/design/rules.md#rule-11), each provoked deliberately; and changes between the
//! phases of a write (docs/design/rules.md#rule-9).
//!
//! Proves ATOMIC, IDENTITY, EDGES.

use crate::support::{Act, Doc, References, Schedule, Situation, meadow, refused, written};
use Act::{Delete, Edit, RenameStrict};
use Doc::{G, H, M, R};
use Situation::{AtGate, Done};
use millstream_testkit::Gate;
use millstream_testkit::gate::GateAt;
use millstream_writer::{EtagMatch, Outcome, Preconditions, WriteError};
use serde_json::{Value, json};

fn rim(schedule: &Schedule, name: &str, hub: &str, note: &str) -> Value {
    json!({"rimId": format!("{} {name}", schedule.documents.tag), "note": note,
           "firstHubReference": {"hubName": format!("{} {hub}", schedule.documents.tag)}})
}

/// The locked row is deleted: a POST restarts and inserts, a PUT and a DELETE answer 404.
#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_waited_for_a_deleted_row_inserts_it_or_does_not_find_it() {
    let mut schedule = Schedule::new(References::H).await;
    let id = schedule.documents.id(R);
    let body = rim(&schedule, "R", "H", "after the delete");
    let (b, c, d) = (schedule.actor("B").await, schedule.actor("C").await, schedule.actor("D").await);
    let delete = schedule.start("A", Delete(R)).await;
    let post = schedule.start_request("B", b.post("rims", body.clone())).await;
    let put = schedule.start_request("C", c.put("rims", id, body)).await;
    let again = schedule.start_request("D", d.delete("rims", id)).await;
    schedule.open("A").await;
    let deleted = written(delete).await;
    schedule.open("B").await;
    schedule.open("C").await;
    schedule.open("D").await;
    let post = written(post).await;
    assert!(post.outcome == Outcome::Created && post.uuid != id && post.version > deleted.version);
    assert!(matches!(refused(put).await, WriteError::NotFound));
    assert!(matches!(refused(again).await, WriteError::NotFound));
    schedule.finish().await;
}

/// Unique violation (23505) on the ReferentialId: the second POST of a new identity finds the document of the first.
#[tokio::test(flavor = "multi_thread")]
async fn two_posts_of_one_new_identity_make_one_document() {
    for (note, outcome) in [("the same", Outcome::Unchanged), ("another", Outcome::Updated)] {
        let mut schedule = Schedule::new(References::NONE).await;
        let (a, b) = (schedule.actor("A").await, schedule.actor("B").await);
        let first = schedule.start_request("A", a.post("rims", rim(&schedule, "new", "H", "the same"))).await;
        let second = schedule.start_request("B", b.post("rims", rim(&schedule, "new", "H", note))).await;
        schedule.expect([("A", AtGate), ("B", Situation::behind("A"))]).await;
        schedule.open("A").await;
        schedule.open("B").await;
        let (first, second) = (written(first).await, written(second).await);
        assert_eq!((first.outcome, second.outcome, first.uuid), (Outcome::Created, outcome, second.uuid));
        assert_eq!(second.version > first.version, outcome == Outcome::Updated);
        schedule.finish().await;
    }
}

/// The same with a first POST that fails at its commit: the second one creates.
#[tokio::test(flavor = "multi_thread")]
async fn a_post_takes_over_the_identity_of_one_that_failed() {
    let mut schedule = Schedule::new(References::NONE).await;
    let (a, b) = (schedule.actor("A").await, schedule.actor("B").await);
    let first = schedule.start_request("A", a.post("rims", rim(&schedule, "new", "H", "A"))).await;
    let second = schedule.start_request("B", b.post("rims", rim(&schedule, "new", "H", "B"))).await;
    schedule.expect([("A", AtGate), ("B", Situation::behind("A"))]).await;
    schedule.scheduler.cancel("A").await;
    assert!(matches!(refused(first).await, WriteError::Unavailable(_)));
    schedule.expect([("A", Done), ("B", AtGate)]).await;
    schedule.open("B").await;
    assert_eq!(written(second).await.outcome, Outcome::Created);
    schedule.finish().await;
}

/// An identity that another type under a common abstract type holds is a conflict.
#[tokio::test(flavor = "multi_thread")]
async fn an_identity_that_stays_taken_is_a_conflict() {
    let fixture = meadow().await;
    fixture.post("districts", json!({"districtId": 7, "nameOfInstitution": "Clover"})).await;
    let grade = json!({"namespace": "uri://meadow.example/GradeLevelDescriptor", "codeValue": "One",
                       "shortDescription": "One"});
    fixture.post("gradeLevelDescriptors", grade).await;
    let grades = json!([{"gradeLevelDescriptor": "uri://meadow.example/GradeLevelDescriptor#One"}]);
    let school = json!({"schoolId": 7, "nameOfInstitution": "Alder", "gradeLevels": grades});
    let refused = fixture.try_post("schools", school).await.expect_err("7 is taken");
    assert!(matches!(refused, WriteError::IdentityConflict { .. }), "{refused:?}");
    fixture.check().await;
}

/// A POST and a rename compete for one identity, and the first to commit gets it. The rename is refused, or the POST
/// finds the renamed document and edits it.
#[tokio::test(flavor = "multi_thread")]
async fn a_post_and_a_rename_to_the_same_identity() {
    let mut schedule = Schedule::new(References::H).await;
    let (a, b, hub) = (schedule.actor("A").await, schedule.actor("B").await, schedule.documents.id(H));
    let body = json!({"hubName": "common", "note": "posted"});
    let post = schedule.start_request("A", a.clone().post("hubs", body.clone())).await;
    let rename = schedule.start_request("B", b.clone().put("hubs", hub, json!({"hubName": "common"}))).await;
    schedule.expect([("A", AtGate), ("B", Situation::behind("A"))]).await;
    schedule.open("A").await;
    assert_eq!(written(post).await.outcome, Outcome::Created);
    assert!(matches!(refused(rename).await, WriteError::IdentityConflict { .. }));
    schedule.open("B").await;

    let rename = schedule.start_request("B", b.put("hubs", hub, json!({"hubName": "common 2"}))).await;
    let post = schedule.start_request("A", a.post("hubs", json!({"hubName": "common 2", "note": "posted"}))).await;
    schedule.expect([("A", Situation::behind("B")), ("B", AtGate)]).await;
    schedule.open("B").await;
    schedule.open("A").await;
    let (rename, post) = (written(rename).await, written(post).await);
    assert_eq!((post.outcome, post.uuid), (Outcome::Updated, hub));
    assert!(post.version > rename.version);
    schedule.finish().await;
}

/// A rename is refused if the new identity of a closure member is taken.
#[tokio::test(flavor = "multi_thread")]
async fn a_rename_is_refused_for_an_identity_of_its_closure() {
    let schedule = Schedule::new(References::M).await;
    let other = json!({"spokeName": "M", "hubReference": {"hubName": format!("{} G", schedule.documents.tag)}});
    schedule.fixture.post("spokes", other).await;
    // M of H would become M of G, which exists.
    let body = json!({"spokeName": "M", "hubReference": {"hubName": format!("{} G", schedule.documents.tag)}});
    let refused = schedule.fixture.try_put("spokes", schedule.documents.id(M), body).await.expect_err("taken");
    assert!(matches!(refused, WriteError::IdentityConflict { .. }), "{refused:?}");
    schedule.finish().await;
}

/// Foreign key violation (23503) on insert: the target of a reference is deleted between resolution and insert. The POST
/// restarts and reports it as unresolved; or, if it was created again meanwhile, refers to the new one.
#[tokio::test(flavor = "multi_thread")]
async fn a_reference_that_is_deleted_between_resolution_and_insert() {
    for created_again in [false, true] {
        let mut schedule = Schedule::new(References::NONE).await;
        let axle = json!({"axleId": "short-lived"});
        let first = schedule.fixture.post("axles", axle.clone()).await;
        let gate = Gate::on_table(schedule.fixture.test_database(), r#""dms"."Document""#, GateAt::BeforeInsert).await;
        gate.close().await;
        let body = json!({"rimId": "late", "axleReference": axle.clone()});
        let poster = schedule.actor("A").await;
        let post = schedule.scheduler.start("A", poster.post("rims", body));
        gate.wait_for(1).await;
        schedule.fixture.delete("axles", first.uuid).await.expect("nothing committed refers to it");
        gate.open().await;
        if created_again {
            // Runs between the failed insert and the next attempt, before which the POST pauses.
            schedule.fixture.post("axles", axle).await;
            let written = written(post).await;
            assert_eq!(written.outcome, Outcome::Created);
            assert_eq!(schedule.fixture.body("rims", written.uuid).await.1["axleReference"]["axleId"], "short-lived");
        } else {
            let WriteError::UnresolvedReference { errors } = refused(post).await else { panic!("another refusal") };
            assert!(errors[0].contains("$.axleReference"), "the reference is named: {errors:?}");
        }
        schedule.finish().await;
    }
}

/// A delete and an insert of a referrer: the first to lock succeeds, the other is refused with the reason.
#[tokio::test(flavor = "multi_thread")]
async fn a_delete_and_a_new_referrer_exclude_each_other() {
    let mut schedule = Schedule::new(References::NONE).await;
    let (a, b, hub) = (schedule.actor("A").await, schedule.actor("B").await, schedule.documents.id(G));
    let insert = schedule.start_request("A", a.clone().post("rims", rim(&schedule, "new", "G", "new"))).await;
    let delete = schedule.start_request("B", b.clone().delete("hubs", hub)).await;
    schedule.expect([("A", AtGate), ("B", Situation::behind("A"))]).await;
    schedule.open("A").await;
    let rim_id = written(insert).await.uuid;
    let WriteError::DependentItemExists { resources } = refused(delete).await else { panic!("another refusal") };
    assert_eq!(resources, ["Rim"]);
    schedule.open("B").await;
    schedule.fixture.delete("rims", rim_id).await.expect("nothing refers to a rim");

    let delete = schedule.start_request("B", b.delete("hubs", hub)).await;
    let insert = schedule.start_request("A", a.post("rims", rim(&schedule, "new", "G", "new"))).await;
    schedule.expect([("A", Situation::behind("B")), ("B", AtGate)]).await;
    schedule.open("B").await;
    assert_eq!(written(delete).await.outcome, Outcome::Deleted);
    assert!(matches!(refused(insert).await, WriteError::UnresolvedReference { .. }));
    schedule.open("A").await;
    schedule.finish().await;
}

/// A rename and a delete of the same hub: the rename does not find it, or the delete comes later.
#[tokio::test(flavor = "multi_thread")]
async fn a_rename_of_a_document_that_is_being_deleted() {
    let mut schedule = Schedule::new(References::NONE).await;
    let (b, hub) = (schedule.actor("B").await, schedule.documents.id(G));
    let delete = schedule.start("A", Delete(G)).await;
    let rename = schedule.start_request("B", b.put("hubs", hub, json!({"hubName": "too late"}))).await;
    schedule.expect([("A", AtGate), ("B", Situation::behind("A"))]).await;
    schedule.open("A").await;
    assert_eq!(written(delete).await.outcome, Outcome::Deleted);
    assert!(matches!(refused(rename).await, WriteError::NotFound));
    schedule.open("B").await;
    schedule.finish().await;
}

/// docs/design/rules.md#rule-9: a POST whose target was renamed in the meantime restarts and creates another document.
#[tokio::test(flavor = "multi_thread")]
async fn a_post_to_an_identity_that_moved_away_creates_another_document() {
    let mut schedule = Schedule::new(References::H).await;
    let body = json!({"hubName": format!("{} H", schedule.documents.tag), "note": "for the document of this name"});
    let poster = schedule.actor("B").await;
    let rename = schedule.start("A", RenameStrict(H)).await;
    let post = schedule.start_request("B", poster.post("hubs", body)).await;
    schedule.expect([("A", AtGate), ("B", Situation::behind("A"))]).await;
    schedule.open("A").await;
    schedule.open("B").await;
    let (rename, post) = (written(rename).await, written(post).await);
    assert_eq!(post.outcome, Outcome::Created);
    assert_ne!(post.uuid, rename.uuid);
    assert_eq!(schedule.fixture.body("hubs", rename.uuid).await.1["note"], "A did RenameStrict(H)");
    schedule.finish().await;
}

/// docs/design/rules.md#rule-9: phase 2 compares again, so that the second of two equal PUTs writes nothing.
#[tokio::test(flavor = "multi_thread")]
async fn the_second_of_two_equal_puts_changes_nothing() {
    let mut schedule = Schedule::new(References::H).await;
    let (a, b, id) = (schedule.actor("A").await, schedule.actor("B").await, schedule.documents.id(R));
    let body = rim(&schedule, "R", "H", "equal");
    let first = schedule.start_request("A", a.put("rims", id, body.clone())).await;
    let second = schedule.start_request("B", b.put("rims", id, body)).await;
    schedule.expect([("A", AtGate), ("B", Situation::behind("A"))]).await;
    schedule.open("A").await;
    schedule.expect([("A", Done), ("B", Done)]).await;
    let (first, second) = (written(first).await, written(second).await);
    assert_eq!((first.outcome, second.outcome), (Outcome::Updated, Outcome::Unchanged));
    assert_eq!(first.version, second.version);
    schedule.finish().await;
}

/// docs/design/rules.md#rule-9: preconditions are checked again under the locks, so that one of two edits with the same
/// etag fails.
#[tokio::test(flavor = "multi_thread")]
async fn one_etag_lets_one_edit_through() {
    let mut schedule = Schedule::new(References::H).await;
    let (b, id) = (schedule.actor("B").await, schedule.documents.id(R));
    let when =
        Preconditions { if_match: Some(EtagMatch::Versions(vec![schedule.version(R).await])), if_none_match: None };
    let mut body = rim(&schedule, "R", "H", "second");
    body["id"] = json!(id.to_string());
    let resource = b.resource("rims");
    let first = schedule.start("A", Edit(R)).await;
    let second = async move { b.strict.put(resource, id, body.to_string().as_bytes(), &when).await };
    let second = schedule.start_request("B", second).await;
    schedule.expect([("A", AtGate), ("B", Situation::behind("A"))]).await;
    schedule.open("A").await;
    assert_eq!(written(first).await.outcome, Outcome::Updated);
    assert!(matches!(refused(second).await, WriteError::PreconditionFailed));
    schedule.finish().await;
}
