//! The races that a writer decides
//! (docs/design/rules.md#rule-11), each brought about on purpose; and what phase 2 finds changed
//! (docs/design/rules.md#rule-9).
//! Proves ATOMIC, IDENTITY, EDGES.

use crate::support::{Act, Doc, Play, References, Situation, meadow, refused, written};
use Act::{Delete, Edit, RenameStrict};
use Doc::{G, H, M, R};
use Situation::{AtGate, Done};
use millstream_testkit::Gate;
use millstream_testkit::gate::GateAt;
use millstream_writer::{EtagMatch, Outcome, Preconditions, WriteError};
use serde_json::{Value, json};

fn rim(play: &Play, name: &str, hub: &str, note: &str) -> Value {
    json!({"rimId": format!("{} {name}", play.scene.tag), "note": note,
           "firstHubReference": {"hubName": format!("{} {hub}", play.scene.tag)}})
}

/// The locked row is gone: a POST starts over and inserts, a PUT and a DELETE answer 404.
#[tokio::test(flavor = "multi_thread")]
async fn what_waited_for_a_deleted_row_inserts_it_or_does_not_find_it() {
    let mut play = Play::set(References::H).await;
    let id = play.scene.id(R);
    let body = rim(&play, "R", "H", "after the delete");
    let (b, c, d) = (play.actor("B").await, play.actor("C").await, play.actor("D").await);
    let delete = play.start("A", Delete(R)).await;
    let post = play.start_deed("B", b.post("rims", body.clone())).await;
    let put = play.start_deed("C", c.put("rims", id, body)).await;
    let again = play.start_deed("D", d.delete("rims", id)).await;
    play.open("A").await;
    let deleted = written(delete).await;
    play.open("B").await;
    play.open("C").await;
    play.open("D").await;
    let post = written(post).await;
    assert!(post.outcome == Outcome::Created && post.uuid != id && post.version > deleted.version);
    assert!(matches!(refused(put).await, WriteError::NotFound));
    assert!(matches!(refused(again).await, WriteError::NotFound));
    play.finish().await;
}

/// 23505 on one's own ReferentialId: the second POST of a new identity finds the first one's document.
#[tokio::test(flavor = "multi_thread")]
async fn two_posts_of_one_new_identity_make_one_document() {
    for (note, outcome) in [("the same", Outcome::Unchanged), ("another", Outcome::Updated)] {
        let mut play = Play::set(References::NONE).await;
        let (a, b) = (play.actor("A").await, play.actor("B").await);
        let first = play.start_deed("A", a.post("rims", rim(&play, "new", "H", "the same"))).await;
        let second = play.start_deed("B", b.post("rims", rim(&play, "new", "H", note))).await;
        play.stands([("A", AtGate), ("B", Situation::behind("A"))]).await;
        play.open("A").await;
        play.open("B").await;
        let (first, second) = (written(first).await, written(second).await);
        assert_eq!((first.outcome, second.outcome, first.uuid), (Outcome::Created, outcome, second.uuid));
        assert_eq!(second.version > first.version, outcome == Outcome::Updated);
        play.finish().await;
    }
}

/// The same with a first POST that fails at the last moment: the second one creates.
#[tokio::test(flavor = "multi_thread")]
async fn a_post_takes_over_the_identity_of_one_that_failed() {
    let mut play = Play::set(References::NONE).await;
    let (a, b) = (play.actor("A").await, play.actor("B").await);
    let first = play.start_deed("A", a.post("rims", rim(&play, "new", "H", "A"))).await;
    let second = play.start_deed("B", b.post("rims", rim(&play, "new", "H", "B"))).await;
    play.stands([("A", AtGate), ("B", Situation::behind("A"))]).await;
    play.stage.cancel("A").await;
    assert!(matches!(refused(first).await, WriteError::Internal(_)));
    play.stands([("A", Done), ("B", AtGate)]).await;
    play.open("B").await;
    assert_eq!(written(second).await.outcome, Outcome::Created);
    play.finish().await;
}

/// An identity that stays taken, by a document of another type under a common abstract one, is a conflict.
#[tokio::test(flavor = "multi_thread")]
async fn an_identity_that_stays_taken_is_a_conflict() {
    let bed = meadow().await;
    bed.post("districts", json!({"districtId": 7, "nameOfInstitution": "Clover"})).await;
    let grade = json!({"namespace": "uri://meadow.example/GradeLevelDescriptor", "codeValue": "One",
                       "shortDescription": "One"});
    bed.post("gradeLevelDescriptors", grade).await;
    let grades = json!([{"gradeLevelDescriptor": "uri://meadow.example/GradeLevelDescriptor#One"}]);
    let school = json!({"schoolId": 7, "nameOfInstitution": "Alder", "gradeLevels": grades});
    let refused = bed.try_post("schools", school).await.expect_err("7 is taken");
    assert!(matches!(refused, WriteError::IdentityConflict { .. }), "{refused:?}");
    bed.check().await;
}

/// A POST and a rename meet in one identity: whoever commits first has it. The rename is refused, or the POST finds the
/// renamed document and edits it.
#[tokio::test(flavor = "multi_thread")]
async fn a_post_and_a_rename_to_the_same_identity() {
    let mut play = Play::set(References::H).await;
    let (a, b, hub) = (play.actor("A").await, play.actor("B").await, play.scene.id(H));
    let body = json!({"hubName": "common", "note": "posted"});
    let post = play.start_deed("A", a.clone().post("hubs", body.clone())).await;
    let rename = play.start_deed("B", b.clone().put("hubs", hub, json!({"hubName": "common"}))).await;
    play.stands([("A", AtGate), ("B", Situation::behind("A"))]).await;
    play.open("A").await;
    assert_eq!(written(post).await.outcome, Outcome::Created);
    assert!(matches!(refused(rename).await, WriteError::IdentityConflict { .. }));
    play.open("B").await;

    let rename = play.start_deed("B", b.put("hubs", hub, json!({"hubName": "common 2"}))).await;
    let post = play.start_deed("A", a.post("hubs", json!({"hubName": "common 2", "note": "posted"}))).await;
    play.stands([("A", Situation::behind("B")), ("B", AtGate)]).await;
    play.open("B").await;
    play.open("A").await;
    let (rename, post) = (written(rename).await, written(post).await);
    assert_eq!((post.outcome, post.uuid), (Outcome::Updated, hub));
    assert!(post.version > rename.version);
    play.finish().await;
}

/// An identity that a member of the closure would get is taken: the whole rename is refused.
#[tokio::test(flavor = "multi_thread")]
async fn a_rename_is_refused_for_an_identity_of_its_closure() {
    let play = Play::set(References::M).await;
    let other = json!({"spokeName": "M", "hubReference": {"hubName": format!("{} G", play.scene.tag)}});
    play.bed.post("spokes", other).await;
    // M of H would become M of G, which exists.
    let body = json!({"spokeName": "M", "hubReference": {"hubName": format!("{} G", play.scene.tag)}});
    let refused = play.bed.try_put("spokes", play.scene.id(M), body).await.expect_err("taken");
    assert!(matches!(refused, WriteError::IdentityConflict { .. }), "{refused:?}");
    play.finish().await;
}

/// 23503 on insert: a reference to something unchangeable is deleted between resolution and insert. The POST starts over
/// and names it as unresolved; or, if it was created again meanwhile, refers to the new one.
#[tokio::test(flavor = "multi_thread")]
async fn a_reference_that_is_deleted_between_resolution_and_insert() {
    for created_again in [false, true] {
        let mut play = Play::set(References::NONE).await;
        let axle = json!({"axleId": "short-lived"});
        let first = play.bed.post("axles", axle.clone()).await;
        let gate = Gate::on_table(play.bed.test_database(), r#""dms"."Document""#, GateAt::BeforeInsert).await;
        gate.close().await;
        let body = json!({"rimId": "late", "axleReference": axle.clone()});
        let poster = play.actor("A").await;
        let post = play.stage.start("A", poster.post("rims", body));
        gate.wait_for(1).await;
        play.bed.delete("axles", first.uuid).await.expect("nothing committed refers to it");
        gate.open().await;
        if created_again {
            // Between the failed insert and the next attempt: the POST pauses first.
            play.bed.post("axles", axle).await;
            let written = written(post).await;
            assert_eq!(written.outcome, Outcome::Created);
            assert_eq!(play.bed.body("rims", written.uuid).await.1["axleReference"]["axleId"], "short-lived");
        } else {
            let WriteError::UnresolvedReference { errors } = refused(post).await else { panic!("another refusal") };
            assert!(errors[0].contains("$.axleReference"), "it is named: {errors:?}");
        }
        play.finish().await;
    }
}

/// A delete and an insert of a referrer: whoever locks first wins, and the other is told why not.
#[tokio::test(flavor = "multi_thread")]
async fn a_delete_and_a_new_referrer_exclude_each_other() {
    let mut play = Play::set(References::NONE).await;
    let (a, b, hub) = (play.actor("A").await, play.actor("B").await, play.scene.id(G));
    let insert = play.start_deed("A", a.clone().post("rims", rim(&play, "new", "G", "new"))).await;
    let delete = play.start_deed("B", b.clone().delete("hubs", hub)).await;
    play.stands([("A", AtGate), ("B", Situation::behind("A"))]).await;
    play.open("A").await;
    let rim_id = written(insert).await.uuid;
    let WriteError::DependentItemExists { resources } = refused(delete).await else { panic!("another refusal") };
    assert_eq!(resources, ["Rim"]);
    play.open("B").await;
    play.bed.delete("rims", rim_id).await.expect("nothing refers to a rim");

    let delete = play.start_deed("B", b.delete("hubs", hub)).await;
    let insert = play.start_deed("A", a.post("rims", rim(&play, "new", "G", "new"))).await;
    play.stands([("A", Situation::behind("B")), ("B", AtGate)]).await;
    play.open("B").await;
    assert_eq!(written(delete).await.outcome, Outcome::Deleted);
    assert!(matches!(refused(insert).await, WriteError::UnresolvedReference { .. }));
    play.open("A").await;
    play.finish().await;
}

/// A rename and a delete of the same hub: the rename finds nothing, or the delete comes after it.
#[tokio::test(flavor = "multi_thread")]
async fn a_rename_of_what_is_being_deleted() {
    let mut play = Play::set(References::NONE).await;
    let (b, hub) = (play.actor("B").await, play.scene.id(G));
    let delete = play.start("A", Delete(G)).await;
    let rename = play.start_deed("B", b.put("hubs", hub, json!({"hubName": "too late"}))).await;
    play.stands([("A", AtGate), ("B", Situation::behind("A"))]).await;
    play.open("A").await;
    assert_eq!(written(delete).await.outcome, Outcome::Deleted);
    assert!(matches!(refused(rename).await, WriteError::NotFound));
    play.open("B").await;
    play.finish().await;
}

/// docs/design/rules.md#rule-9: a POST whose target lost the identity that it was found by starts over, and creates
/// another document.
#[tokio::test(flavor = "multi_thread")]
async fn a_post_to_an_identity_that_moved_away_creates_another_document() {
    let mut play = Play::set(References::H).await;
    let body = json!({"hubName": format!("{} H", play.scene.tag), "note": "for whoever has this name"});
    let poster = play.actor("B").await;
    let rename = play.start("A", RenameStrict(H)).await;
    let post = play.start_deed("B", poster.post("hubs", body)).await;
    play.stands([("A", AtGate), ("B", Situation::behind("A"))]).await;
    play.open("A").await;
    play.open("B").await;
    let (rename, post) = (written(rename).await, written(post).await);
    assert_eq!(post.outcome, Outcome::Created);
    assert_ne!(post.uuid, rename.uuid);
    assert_eq!(play.bed.body("hubs", rename.uuid).await.1["note"], "A did RenameStrict(H)");
    play.finish().await;
}

/// docs/design/rules.md#rule-9: phase 2 compares again: of two equal PUTs one writes, the other finds nothing to do.
#[tokio::test(flavor = "multi_thread")]
async fn the_second_of_two_equal_puts_changes_nothing() {
    let mut play = Play::set(References::H).await;
    let (a, b, id) = (play.actor("A").await, play.actor("B").await, play.scene.id(R));
    let body = rim(&play, "R", "H", "equal");
    let first = play.start_deed("A", a.put("rims", id, body.clone())).await;
    let second = play.start_deed("B", b.put("rims", id, body)).await;
    play.stands([("A", AtGate), ("B", Situation::behind("A"))]).await;
    play.open("A").await;
    play.stands([("A", Done), ("B", Done)]).await;
    let (first, second) = (written(first).await, written(second).await);
    assert_eq!((first.outcome, second.outcome), (Outcome::Updated, Outcome::Unchanged));
    assert_eq!(first.version, second.version);
    play.finish().await;
}

/// docs/design/rules.md#rule-9: preconditions are checked again under the locks: of two edits with one etag, one loses.
#[tokio::test(flavor = "multi_thread")]
async fn one_etag_lets_one_edit_through() {
    let mut play = Play::set(References::H).await;
    let (b, id) = (play.actor("B").await, play.scene.id(R));
    let when = Preconditions { if_match: Some(EtagMatch::Versions(vec![play.version(R).await])), if_none_match: None };
    let mut body = rim(&play, "R", "H", "second");
    body["id"] = json!(id.to_string());
    let resource = b.resource("rims");
    let first = play.start("A", Edit(R)).await;
    let second = async move { b.strict.put(resource, id, body.to_string().as_bytes(), &when).await };
    let second = play.start_deed("B", second).await;
    play.stands([("A", AtGate), ("B", Situation::behind("A"))]).await;
    play.open("A").await;
    assert_eq!(written(first).await.outcome, Outcome::Updated);
    assert!(matches!(refused(second).await, WriteError::PreconditionFailed));
    play.finish().await;
}
