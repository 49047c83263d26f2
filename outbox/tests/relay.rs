//! Relays on a real PostgreSQL: one at a time, the next one at once, and nothing stored in the name of the one before.

use std::time::Duration;

use millstream_outbox::OutboxError;
use millstream_outbox::progress::{self, Origin, Progress, ProgressKeeper};
use millstream_outbox::relay::{next_epoch, wait_for_lease};
use millstream_pipeline::Position;
use millstream_pipeline::source::Stream;
use millstream_testkit::{World, wait_until};
use uuid::Uuid;

const WITHIN: Duration = Duration::from_secs(20);

fn is_taken_over(answer: &Result<(), OutboxError>, epoch: i64, found: i64) -> bool {
    matches!(answer, Err(OutboxError::TakenOver { epoch: was, found: is, .. }) if (*was, *is) == (epoch, found))
}

#[tokio::test]
async fn only_the_last_epoch_stores_progress() {
    let database = World::fixtures().database().await;
    let session = database.session().await;
    let client = &*session;
    let origin = Origin::read(client, Uuid::from_u128(1), Stream::poll()).await.expect("an origin");
    let at = |lsn| Progress { position: Position::before(lsn), watermark: None, origin: origin.clone() };

    let first = next_epoch(client, "relay").await.expect("the first epoch");
    assert_eq!(progress::load(client, "relay").await.expect("load"), None, "nothing is stored by taking over");
    progress::store_in_term(client, &first, &at(10)).await.expect("stored");
    let second = next_epoch(client, "relay").await.expect("the second epoch");
    assert_eq!((first.number(), second.number()), (1, 2));
    assert_eq!(progress::load(client, "relay").await.expect("load"), Some(at(10)), "taking over forgets nothing");

    assert!(is_taken_over(&progress::store_in_term(client, &first, &at(20)).await, 1, 2));
    assert!(is_taken_over(&first.check(client).await, 1, 2));
    let keeper = ProgressKeeper::in_term(first.clone(), origin.clone());
    let late = keeper.advance_polled(client, Position::before(30)).await.map(|_| ());
    assert!(is_taken_over(&late, 1, 2));
    assert_eq!(progress::load(client, "relay").await.expect("load"), Some(at(10)), "the late relay stored nothing");

    second.check(client).await.expect("it is the last");
    progress::store_in_term(client, &second, &at(40)).await.expect("stored");
    assert_eq!(progress::load(client, "relay").await.expect("load"), Some(at(40)));
    let other = next_epoch(client, "another").await.expect("an epoch");
    assert_eq!(other.number(), 1, "consumers know nothing of each other");
    client.execute(r#"DELETE FROM "dms"."ProjectionProgress""#, &[]).await.expect("deleted");
    assert!(
        is_taken_over(&progress::store_in_term(client, &second, &at(50)).await, 2, 0),
        "a missing row belongs to no relay"
    );
}

#[tokio::test]
async fn a_standby_has_its_turn_when_the_active_session_ends() {
    let database = World::fixtures().database().await;
    let (active, standby) = (database.session().await, database.session().await);
    wait_for_lease(&*active, "relay").await.expect("no other session has it");
    let observer = database.session().await;
    let waiting = async {
        wait_for_lease(&*standby, "relay").await.expect("its turn");
        next_epoch(&*standby, "relay").await.expect("its epoch")
    };
    let ending = async {
        wait_until("the standby to wait", WITHIN, || async {
            let sql = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted";
            observer.query_one(sql, &[]).await.expect("locks").get::<_, i64>(0) > 0
        })
        .await;
        let pid: i32 = active.query_one("SELECT pg_backend_pid()", &[]).await.expect("a pid").get(0);
        observer.execute("SELECT pg_terminate_backend($1)", &[&pid]).await.expect("killed");
    };
    let (epoch, ()) = tokio::time::timeout(WITHIN, async { tokio::join!(waiting, ending) }).await.expect("in time");
    assert_eq!(epoch.number(), 1);
}
