//! Writes that share a transaction: each has the outcome that it would have alone.
//!
//! Proves ATOMIC, IDENTITY and EDGES for batches.

use crate::support::{Fixture, TIMEOUT, wheel};
use futures::future::join_all;
use millstream_store::connect::{Database, PoolOptions, SessionSettings};
use millstream_testkit::{Holder, wait_until};
use millstream_writer::{
    BatchOptions, EtagMatch, Lanes, Outcome, Preconditions, WriteError, Writer, WriterOptions, Written,
};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::task::JoinHandle;
use uuid::Uuid;

/// A request of a batch.
#[derive(Clone)]
struct Request {
    endpoint: &'static str,
    route: Option<Uuid>,
    body: Value,
    when: Preconditions,
}

fn post(endpoint: &'static str, body: Value) -> Request {
    Request { endpoint, route: None, body, when: Preconditions::default() }
}

fn put(endpoint: &'static str, id: Uuid, mut body: Value) -> Request {
    body["id"] = json!(id.to_string());
    Request { endpoint, route: Some(id), body, when: Preconditions::default() }
}

fn hub(name: &str) -> Value {
    json!({"hubName": name})
}

fn rim(id: &str, hub: Option<&str>) -> Value {
    match hub {
        Some(hub) => json!({"rimId": id, "firstHubReference": {"hubName": hub}}),
        None => json!({"rimId": id}),
    }
}

/// One lane, so that requests that are waiting when it begins are one batch.
fn one_lane() -> BatchOptions {
    BatchOptions { lanes: 1, ..BatchOptions::default() }
}

/// A writer with lanes that do not run yet.
fn writer(fixture: &Fixture, options: BatchOptions, lock_timeout: Option<Duration>) -> (Writer, Lanes) {
    let settings = SessionSettings { lock_timeout, ..SessionSettings::default() };
    let address = fixture.test_database().options().clone().with_application_name("lane");
    let pool = PoolOptions { settings, ..PoolOptions::of_size(options.lanes) };
    let pool = Database::new(&address, pool).expect("a pool");
    let writer = Writer::new(fixture.db().clone(), std::sync::Arc::clone(&fixture.mapping), WriterOptions::default());
    writer.expect("a writer").batching(pool, options)
}

type Answers = JoinHandle<Vec<Result<Written, WriteError>>>;

/// Sends requests that are all waiting when the lanes begin.
async fn start(fixture: &Fixture, (writer, lanes): (Writer, Lanes), requests: Vec<Request>) -> Answers {
    let requests: Vec<_> = requests.into_iter().map(|request| (fixture.resource(request.endpoint), request)).collect();
    let sends = requests.into_iter().map(move |(resource, Request { route, body, when, .. })| {
        let (writer, body) = (writer.clone(), body.to_string().into_bytes());
        async move {
            match route {
                Some(id) => writer.put(resource, id, &body, &when).await,
                None => writer.post(resource, &body, &when).await,
            }
        }
    });
    let mut answers = Box::pin(join_all(sends));
    assert!(futures::poll!(answers.as_mut()).is_pending());
    tokio::spawn(lanes.run());
    tokio::spawn(answers)
}

/// Sends requests as one batch and waits for the answers.
async fn together(fixture: &Fixture, requests: Vec<Request>) -> Vec<Result<Written, WriteError>> {
    let answers = start(fixture, writer(fixture, one_lane(), None), requests).await;
    tokio::time::timeout(TIMEOUT, answers).await.expect("the batch ends").expect("no panic")
}

fn outcome(answer: &Result<Written, WriteError>) -> Outcome {
    answer.as_ref().unwrap_or_else(|error| panic!("it was refused: {error:?}")).outcome
}

/// Ids of the transactions that wrote the heads of these documents.
async fn transactions(fixture: &Fixture, ids: &[Uuid]) -> i64 {
    let sql = r#"SELECT count(DISTINCT xmin::text) FROM "dms"."Document" WHERE "DocumentUuid" = ANY($1)"#;
    fixture.value(sql, &[&ids]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn each_document_of_a_batch_fails_alone_and_the_others_share_a_transaction() {
    let fixture = wheel().await;
    let known = fixture.post("hubs", hub("known")).await;
    let edited = fixture.post("rims", json!({"rimId": "edited"})).await;
    let same = fixture.post("rims", rim("same", Some("known"))).await;
    let stale = Preconditions { if_match: Some(EtagMatch::Versions(vec![edited.version - 1])), if_none_match: None };
    let absent = Preconditions { if_match: Some(EtagMatch::Any), if_none_match: None };
    let requests = vec![
        post("rims", rim("one", Some("known"))),
        post("rims", rim("two", Some("unknown"))),
        Request { when: absent, ..post("rims", rim("three", None)) },
        post("rims", json!({"rimId": "edited", "note": "by POST"})),
        Request { when: stale, ..put("rims", same.uuid, json!({"rimId": "same", "note": "stale"})) },
        put("rims", Uuid::now_v7(), rim("nowhere", None)),
        put("rims", edited.uuid, rim("another identity", None)),
        post("spokes", json!({"spokeName": "four", "hubReference": hub("known")})),
        post("rims", json!({"rimId": "five", "no such member": 1, "note": 5})),
    ];
    let answers = together(&fixture, requests).await;
    assert_eq!([outcome(&answers[0]), outcome(&answers[7])], [Outcome::Created; 2]);
    assert_eq!(outcome(&answers[3]), Outcome::Updated);
    let Err(WriteError::UnresolvedReference { errors }) = &answers[1] else { panic!("{:?}", answers[1]) };
    assert!(errors[0].contains("firstHubReference"), "{errors:?}");
    assert!(matches!(answers[2], Err(WriteError::PreconditionFailed)), "{:?}", answers[2]);
    assert!(matches!(answers[4], Err(WriteError::PreconditionFailed)), "{:?}", answers[4]);
    assert!(matches!(answers[5], Err(WriteError::NotFound)), "{:?}", answers[5]);
    assert!(matches!(answers[6], Err(WriteError::KeyChangeNotSupported { .. })), "{:?}", answers[6]);
    assert!(matches!(answers[8], Err(WriteError::Invalid { .. })) || answers[8].is_ok(), "{:?}", answers[8]);
    let written: Vec<Uuid> = [0, 3, 7].map(|at| answers[at].as_ref().expect("written").uuid).into();
    assert_eq!(transactions(&fixture, &written).await, 1);
    let again = together(&fixture, vec![post("rims", rim("one", Some("known"))), post("hubs", hub("known"))]).await;
    assert_eq!(again.iter().map(outcome).collect::<Vec<_>>(), [Outcome::Unchanged; 2]);
    assert_eq!(again[1].as_ref().expect("unchanged").version, known.version);
    fixture.check().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_of_one_document_keep_their_order() {
    let fixture = wheel().await;
    let note = |note: usize| json!({"rimId": "busy", "note": note.to_string()});
    let answers = together(&fixture, (1..=5).map(|number| post("rims", note(number))).collect()).await;
    let outcomes: Vec<Outcome> = answers.iter().map(outcome).collect();
    assert_eq!(outcomes[0], Outcome::Created);
    assert!(outcomes[1..].iter().all(|outcome| *outcome == Outcome::Updated), "{outcomes:?}");
    let versions: Vec<i64> = answers.iter().map(|answer| answer.as_ref().expect("written").version).collect();
    assert!(versions.is_sorted_by(|one, next| one < next), "{versions:?}");
    let id = answers[0].as_ref().expect("written").uuid;
    // By its identity and by its id.
    let mixed = vec![put("rims", id, note(6)), post("rims", note(7)), put("rims", id, note(8))];
    let answers = together(&fixture, mixed).await;
    assert!(answers.iter().all(|answer| outcome(answer) == Outcome::Updated), "{answers:?}");
    assert_eq!(fixture.body("rims", id).await.1["note"], "8");
    fixture.check().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn new_documents_refer_to_each_other_and_are_refused_with_what_they_need() {
    let fixture = wheel().await;
    let absent = Preconditions { if_match: Some(EtagMatch::Any), if_none_match: None };
    let spoke = |name: &str, hub_name: &str| json!({"spokeName": name, "hubReference": hub(hub_name)});
    let requests = vec![
        post("rims", rim("of a new hub", Some("new"))),
        post("spokes", spoke("of a new hub", "new")),
        post("hubs", hub("new")),
        // Its hub is refused, so it is refused, too.
        post("spokes", spoke("of a refused hub", "refused")),
        Request { when: absent, ..post("hubs", hub("refused")) },
    ];
    let answers = together(&fixture, requests).await;
    assert!(answers[..3].iter().all(|answer| outcome(answer) == Outcome::Created), "{answers:?}");
    assert!(matches!(answers[3], Err(WriteError::UnresolvedReference { .. })), "{:?}", answers[3]);
    assert!(matches!(answers[4], Err(WriteError::PreconditionFailed)), "{:?}", answers[4]);
    // An edit that refers to a new document.
    let requests = vec![post("rims", rim("of a new hub", Some("newer"))), post("hubs", hub("newer"))];
    let answers = together(&fixture, requests).await;
    assert_eq!([outcome(&answers[0]), outcome(&answers[1])], [Outcome::Updated, Outcome::Created]);
    fixture.check().await;
}

/// A write of the old identity that comes after a rename in one batch is made after it, as a new document.
#[tokio::test(flavor = "multi_thread")]
async fn a_write_of_the_old_identity_comes_after_the_rename() {
    let fixture = wheel().await;
    let id = fixture.post("hubs", hub("old")).await.uuid;
    let edit = json!({"hubName": "old", "note": "of the next document"});
    let requests = vec![put("hubs", id, hub("new")), post("hubs", edit), put("hubs", id, hub("newer"))];
    let answers = together(&fixture, requests).await;
    assert_eq!(answers.iter().map(outcome).collect::<Vec<_>>(), [Outcome::Updated, Outcome::Created, Outcome::Updated]);
    assert_ne!(answers[1].as_ref().expect("written").uuid, id);
    assert_eq!(fixture.body("hubs", id).await.1, json!({"hubName": "newer"}));
    fixture.check().await;
}

/// Two documents that refer to each other could not be written one after the other.
#[tokio::test(flavor = "multi_thread")]
async fn new_documents_may_refer_to_each_other_in_a_circle_of_optional_references() {
    let fixture = wheel().await;
    let requests = vec![
        post("rims", json!({"rimId": "of the axle", "axleReference": {"axleId": "of the rim"}})),
        post("axles", json!({"axleId": "of the rim", "rimReference": {"rimId": "of the axle"}, "note": "whole"})),
        post("rims", json!({"rimId": "beside", "axleReference": {"axleId": "of the rim"}})),
        post("axles", json!({"axleId": "of itself", "rimReference": {"rimId": "nowhere"}})),
    ];
    let answers = together(&fixture, requests).await;
    assert!(answers[..3].iter().all(|answer| outcome(answer) == Outcome::Created), "{answers:?}");
    assert!(matches!(answers[3], Err(WriteError::UnresolvedReference { .. })), "{:?}", answers[3]);
    let [rim, axle] = [0, 1].map(|at| answers[at].as_ref().expect("written").uuid);
    assert_eq!(fixture.body("rims", rim).await.1["axleReference"]["axleId"], "of the rim");
    let axle = fixture.body("axles", axle).await.1;
    assert_eq!((&axle["rimReference"]["rimId"], &axle["note"]), (&json!("of the axle"), &json!("whole")));
    fixture.check().await;
}

/// A rename goes its own way; a later write of the same document waits for it, the others do not.
#[tokio::test(flavor = "multi_thread")]
async fn a_rename_in_a_batch_is_made_in_its_own_transaction() {
    let fixture = wheel().await;
    let id = fixture.post("hubs", hub("old")).await.uuid;
    let rim_id = fixture.post("rims", rim("referrer", Some("old"))).await.uuid;
    let requests =
        vec![put("hubs", id, hub("new")), post("rims", rim("unrelated", None)), put("hubs", id, hub("newest"))];
    let answers = together(&fixture, requests).await;
    assert_eq!(answers.iter().map(outcome).collect::<Vec<_>>(), [Outcome::Updated, Outcome::Created, Outcome::Updated]);
    assert_eq!(fixture.body("hubs", id).await.1["hubName"], "newest");
    assert_eq!(fixture.body("rims", rim_id).await.1["firstHubReference"]["hubName"], "newest");
    fixture.work_off_cascades().await;
    fixture.check().await;
}

/// A write that has to wait for a lock of another transaction waits alone.
#[tokio::test(flavor = "multi_thread")]
async fn a_document_that_waits_for_a_lock_holds_up_no_other_document() {
    let fixture = wheel().await;
    let id = fixture.post("hubs", hub("locked")).await.uuid;
    let sql = format!(
        r#"SELECT FROM "dms"."IdentityLock" l JOIN "dms"."Document" d USING ("DocumentId")
            WHERE d."DocumentUuid" = '{id}' FOR UPDATE OF l"#
    );
    let holder = Holder::hold(fixture.test_database(), &sql).await;
    let (writer, lanes) = writer(&fixture, one_lane(), Some(Duration::from_millis(100)));
    let requests = vec![post("rims", rim("waits", Some("locked"))), post("rims", rim("free", None))];
    let answers = start(&fixture, (writer, lanes), requests).await;
    let is_written = || async {
        let sql = r#"SELECT count(*) FROM "wheel"."Rim" WHERE "RimId" = 'free'"#;
        fixture.value::<i64>(sql, &[]).await == 1
    };
    wait_until("the other document to be written", TIMEOUT, is_written).await;
    assert!(!answers.is_finished(), "the lock is still held");
    holder.roll_back().await;
    let answers = tokio::time::timeout(TIMEOUT, answers).await.expect("the batch ends").expect("no panic");
    assert!(answers.iter().all(|answer| outcome(answer) == Outcome::Created), "{answers:?}");
    fixture.check().await;
}

/// The session of a lane is ended by the server in the middle of a batch: nothing of it is written, every caller learns
/// it, and the lane goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_whose_session_is_lost_is_refused_as_a_whole() {
    let fixture = wheel().await;
    let id = fixture.post("hubs", hub("locked")).await.uuid;
    let row = format!(r#"SELECT FROM "dms"."Document" WHERE "DocumentUuid" = '{id}' FOR NO KEY UPDATE"#);
    let holder = Holder::hold(fixture.test_database(), &row).await;
    let (batching, lanes) = writer(&fixture, one_lane(), None);
    let requests = vec![post("hubs", json!({"hubName": "locked", "note": "edit"})), post("rims", rim("new", None))];
    let answers = start(&fixture, (batching.clone(), lanes), requests).await;
    holder.wait_for_blocked(1).await;
    let end = r#"SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                  WHERE application_name = 'lane' AND datname = current_database()"#;
    assert_eq!(fixture.value::<i64>(end, &[]).await, 1);
    let answers = tokio::time::timeout(TIMEOUT, answers).await.expect("the batch ends").expect("no panic");
    assert!(answers.iter().all(|answer| matches!(answer, Err(WriteError::Unavailable(_)))), "{answers:?}");
    holder.roll_back().await;
    assert_eq!(fixture.value::<i64>(r#"SELECT count(*) FROM "wheel"."Rim""#, &[]).await, 0);
    let body = rim("after it", None).to_string().into_bytes();
    batching.post(fixture.resource("rims"), &body, &Preconditions::default()).await.expect("the lane goes on");
    fixture.check().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_beyond_the_bytes_that_may_wait_are_refused() {
    let fixture = wheel().await;
    let options = BatchOptions { queue_bytes_max: 2048, ..one_lane() };
    let (writer, lanes) = writer(&fixture, options, None);
    let requests = ["a", "b", "c"].map(|id| post("rims", rim(id, None))).into();
    let answers = start(&fixture, (writer.clone(), lanes), requests).await.await.expect("no panic");
    assert!(answers[..2].iter().all(|answer| outcome(answer) == Outcome::Created), "{answers:?}");
    assert!(matches!(answers[2], Err(WriteError::QueueFull)), "{answers:?}");
    let body = json!({"rimId": "c", "note": "x".repeat(4096)}).to_string().into_bytes();
    let larger = writer.post(fixture.resource("rims"), &body, &Preconditions::default()).await;
    assert!(!matches!(larger, Err(WriteError::QueueFull)), "one document always fits: {larger:?}");
    fixture.check().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_whose_client_is_gone_before_it_begins_is_not_made() {
    let fixture = wheel().await;
    let (writer, lanes) = writer(&fixture, one_lane(), None);
    let (rims, always) = (fixture.resource("rims"), Preconditions::default());
    let (gone, stays) = (rim("gone", None).to_string(), rim("stays", None).to_string());
    let mut first = Box::pin(writer.post(rims, gone.as_bytes(), &always));
    let mut second = Box::pin(writer.post(rims, stays.as_bytes(), &always));
    assert!(futures::poll!(first.as_mut()).is_pending() && futures::poll!(second.as_mut()).is_pending());
    drop(first);
    let lanes = tokio::spawn(lanes.run());
    second.await.expect("written");
    drop(writer);
    lanes.await.expect("no panic").expect("the lane ends with the writer");
    assert_eq!(fixture.value::<i64>(r#"SELECT count(*) FROM "wheel"."Rim""#, &[]).await, 1);
    fixture.check().await;
}
