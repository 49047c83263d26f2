//! The outbox table on a real PostgreSQL: append, commit-safe reads, the recovery watermark, retention.

use std::time::{Duration, SystemTime};

use millstream_outbox::append;
use millstream_outbox::progress::{self, Origin, Progress, ProgressKeeper, Snapshot, Watermark};
use millstream_outbox::read::{before_horizon, not_in};
use millstream_outbox::retention::{ensure_partitions, ensure_polling_index, prune};
use millstream_pipeline::source::Stream;
use millstream_pipeline::{Change, ChangeKind, NewChange, Position};
use millstream_testkit::{TestDatabase, World};
use tokio_postgres::{Client, GenericClient};
use uuid::Uuid;

fn changes(ids: impl IntoIterator<Item = i64>) -> Vec<NewChange> {
    let change = |document_id| NewChange {
        document_id,
        document_uuid: Uuid::from_u128(document_id as u128),
        resource_key: 3,
        kind: ChangeKind::ALL[document_id as usize % 4],
        content_version: 100 + document_id,
    };
    ids.into_iter().map(change).collect()
}

async fn xid<C: GenericClient + Sync>(client: &C) -> u64 {
    let row = client.query_one("SELECT pg_current_xact_id()::text", &[]).await.expect("a transaction id");
    row.get::<_, String>(0).parse().expect("a number")
}

/// Commits these changes in one transaction and answers its id.
async fn commit(client: &mut Client, ids: impl IntoIterator<Item = i64>) -> u64 {
    let transaction = client.transaction().await.expect("begin");
    append(&transaction, &changes(ids)).await.expect("append");
    let xid = xid(&transaction).await;
    transaction.commit().await.expect("commit");
    xid
}

fn documents(changes: &[Change]) -> Vec<i64> {
    changes.iter().map(|change| change.document_id).collect()
}

/// Transactions of other tests in the cluster hold the horizon back for a moment.
async fn read_all(client: &Client, mut position: Position, count: usize, limit: i64) -> (Vec<Change>, Position) {
    let mut all = Vec::new();
    let deadline = SystemTime::now() + Duration::from_secs(20);
    while all.len() < count {
        assert!(SystemTime::now() < deadline, "only {} of {count} rows came", all.len());
        let rows = before_horizon(client, position, limit).await.expect("read");
        assert!(rows.position >= position && rows.changes.len() as i64 <= limit);
        position = rows.position;
        all.extend(rows.changes);
    }
    (all, position)
}

#[tokio::test]
async fn a_record_exists_exactly_if_its_transaction_committed() {
    let database = World::fixtures().database().await;
    let mut session = database.session().await;
    let client = session.client_mut();
    let transaction = client.transaction().await.expect("begin");
    append(&transaction, &changes([9])).await.expect("append");
    transaction.rollback().await.expect("rollback");
    append(client, &[]).await.expect("nothing to do");
    let written = changes([5, 2, 7, 4]);
    let transaction = client.transaction().await.expect("begin");
    append(&transaction, &written).await.expect("append");
    let xid = xid(&transaction).await;
    transaction.commit().await.expect("commit");
    let (read, _) = read_all(client, Position::ZERO, 4, 10).await;
    assert!(read.is_sorted_by_key(|change| change.outbox_id), "ids are drawn in the order given");
    let as_written = |change: &Change| NewChange {
        document_id: change.document_id,
        document_uuid: change.document_uuid,
        resource_key: change.resource_key,
        kind: change.kind,
        content_version: change.content_version,
    };
    assert_eq!(read.iter().map(as_written).collect::<Vec<_>>(), written);
    assert!(read.iter().all(|change| change.xid == xid));
}

#[tokio::test]
async fn polling_waits_for_late_commits_and_loses_none() {
    let database = World::fixtures().database().await;
    let (mut early, mut late) = (database.session().await, database.session().await);
    ensure_polling_index(&*early).await.expect("an index");
    ensure_polling_index(&*early).await.expect("once is enough");
    let slow = late.client_mut().transaction().await.expect("begin");
    append(&slow, &changes([1, 2])).await.expect("append");
    let slow_xid = xid(&slow).await;
    commit(early.client_mut(), [3, 4]).await;
    let rows = before_horizon(&*early, Position::ZERO, 10).await.expect("read");
    assert_eq!(documents(&rows.changes), [0; 0], "an older transaction still runs");
    assert!(rows.horizon <= slow_xid && rows.position == Position::before(rows.horizon));
    slow.commit().await.expect("commit");
    let (read, position) = read_all(&early, rows.position, 4, 3).await;
    assert_eq!(documents(&read), [1, 2, 3, 4], "in the order of transactions");
    let rows = before_horizon(&*early, position, 10).await.expect("read");
    assert_eq!(documents(&rows.changes), [0; 0], "nothing comes twice");
}

#[tokio::test]
async fn recovery_replays_exactly_what_the_watermark_cannot_see() {
    let database = World::fixtures().database().await;
    let (mut early, mut late) = (database.session().await, database.session().await);
    let slow = late.client_mut().transaction().await.expect("begin");
    append(&slow, &changes([1, 2])).await.expect("append");
    commit(early.client_mut(), [3, 4]).await;
    let watermark = Watermark::read(&*early).await.expect("a watermark");
    commit(early.client_mut(), [5]).await;
    slow.commit().await.expect("commit");
    let rows = not_in(&*early, &watermark.snapshot, 0, 10).await.expect("read");
    assert_eq!(documents(&rows), [1, 2, 5], "what was seen is not replayed, though its ids are in between");
    let page = not_in(&*early, &watermark.snapshot, rows[0].outbox_id, 1).await.expect("read");
    assert_eq!(documents(&page), [2]);
    let nothing = Watermark::read(&*early).await.expect("a watermark");
    assert_eq!(not_in(&*early, &nothing.snapshot, 0, 10).await.expect("read"), []);
}

#[tokio::test]
async fn a_watermark_is_stored_only_when_it_is_covered() {
    let database = World::fixtures().database().await;
    let mut session = database.session().await;
    let client = session.client_mut();
    let origin = Origin::read(client, Uuid::from_u128(1), Stream::slot("s")).await.expect("an origin");
    let mut keeper = ProgressKeeper::new("cache", origin.clone());
    assert_eq!(keeper.advance(client, Position::ZERO).await.expect("advance"), None);
    assert_eq!(progress::load(client, "cache").await.expect("load"), None);
    let seen = commit(client, [1]).await;
    assert_eq!(keeper.advance(client, Position::before(1)).await.expect("advance"), None, "L is not reached");
    let durable = Position::before(u64::MAX >> 1);
    let end = keeper.unplaced().expect("its place is wanted");
    assert_eq!(keeper.advance(client, durable).await.expect("advance"), None, "the place of L is unknown");
    keeper.place(Position::before(end));
    assert_eq!(keeper.unplaced(), None);
    assert_eq!(keeper.advance(client, Position::before(end - 1)).await.expect("advance"), None, "L is not reached");
    let stored = keeper.advance(client, durable).await.expect("advance").expect("it is covered");
    assert_eq!(progress::load(client, "cache").await.expect("load").as_ref(), Some(&stored));
    assert_eq!((stored.position, &stored.origin), (durable, &origin));
    let snapshot = &stored.watermark.as_ref().expect("a watermark").snapshot;
    assert_eq!(documents(&not_in(client, snapshot, 0, 10).await.expect("read")), [1], "it was read before the commit");
    assert!(keeper.unplaced().is_some_and(|next| next > end), "the next one is read at once");
    keeper.advance_unmarked(client, durable).await.expect("advance");
    assert_eq!(progress::load(client, "cache").await.expect("load").as_ref(), Some(&stored), "what was known stays");

    let polled = keeper.advance_polled(client, Position::within(seen, 5)).await.expect("advance");
    assert_eq!(polled.watermark.map(|watermark| watermark.snapshot), Some(Snapshot::before_xid(seen)));
    assert_eq!(documents(&not_in(client, &Snapshot::before_xid(seen), 0, 10).await.expect("read")), [1]);
    assert_eq!(not_in(client, &Snapshot::before_xid(seen + 1), 0, 10).await.expect("read"), []);

    let without = |origin| Progress { position: durable, watermark: None, origin };
    progress::store(client, "cache", &without(origin.clone())).await.expect("store");
    let kept = progress::load(client, "cache").await.expect("load").expect("a row");
    assert!(kept.watermark.is_some(), "what was established stays");
    let later = Origin { history: origin.history + 1, ..origin.clone() };
    assert!(origin.has_history_of(&origin) && !origin.has_history_of(&later));
    progress::store(client, "cache", &without(later.clone())).await.expect("store");
    let lost = progress::load(client, "cache").await.expect("load").expect("a row");
    assert_eq!(lost, without(later), "but not in another history");
    let elsewhere = Origin { database: Uuid::from_u128(7), ..origin };
    progress::store(client, "cache", &without(elsewhere.clone())).await.expect("store");
    let foreign = progress::load(client, "cache").await.expect("load").expect("a row");
    assert_eq!(foreign, without(elsewhere), "but not in another database");
}

async fn partitions(client: &Client) -> Vec<String> {
    let sql = r#"SELECT c.relname::text FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
                  WHERE i.inhparent = '"dms"."Outbox"'::regclass ORDER BY length(c.relname), c.relname"#;
    client.query(sql, &[]).await.expect("listed").iter().map(|row| row.get(0)).collect()
}

async fn set_next_id(client: &Client, id: i64) {
    let sql = r#"SELECT setval(pg_get_serial_sequence('"dms"."Outbox"', 'OutboxId'), $1, false)"#;
    client.execute(sql, &[&id]).await.expect("set");
}

async fn make_old(database: &TestDatabase) {
    let sql = r#"UPDATE "dms"."Outbox" SET "CreatedAt" = "CreatedAt" - interval '3 days'"#;
    database.session().await.execute(sql, &[]).await.expect("updated");
}

#[tokio::test]
async fn partitions_are_made_ahead_of_the_ids() {
    let database = World::fixtures().database().await;
    let mut session = database.session().await;
    let client = session.client_mut();
    let mut pooled = database.database().get().await.expect("connected");
    assert_eq!(ensure_partitions(&mut pooled, 2).await.expect("made"), ["Outbox_2"]);
    assert_eq!(ensure_partitions(&mut pooled, 2).await.expect("made"), [""; 0]);
    set_next_id(client, 3_999_999).await;
    commit(client, [1, 2]).await;
    let made = ensure_partitions(&mut pooled, 1).await.expect("made");
    assert_eq!(
        made,
        ["Outbox_5"],
        "rows 3,999,999 and 4,000,000 are in the default partition, which keeps their ranges"
    );
    set_next_id(client, 5_000_000).await;
    commit(client, [3]).await;
    let row = client.query_one(r#"SELECT count(*) FROM "dms"."Outbox_5""#, &[]).await.expect("counted");
    assert_eq!(row.get::<_, i64>(0), 1);
    let columns = r#"INSERT INTO "dms"."Outbox" ("DocumentId", "DocumentUuid", "ResourceKeyId", "Kind", "ContentVersion")
                     VALUES (1, gen_random_uuid(), 1, 'nonsense', 1)"#;
    assert!(client.execute(columns, &[]).await.is_err(), "new partitions check what the others check");
}

#[tokio::test]
async fn only_old_rows_that_the_watermark_covers_go() {
    let database = World::fixtures().database().await;
    let mut session = database.session().await;
    let client = session.client_mut();
    let mut pooled = database.database().get().await.expect("connected");
    let cutoff = || SystemTime::now() - Duration::from_secs(24 * 3600);
    ensure_partitions(&mut pooled, 3).await.expect("made");
    commit(client, [1]).await;
    set_next_id(client, 1_000_000).await;
    commit(client, [2]).await;
    make_old(&database).await;
    set_next_id(client, 2_000_000).await;
    commit(client, [3]).await;
    set_next_id(client, 9_000_000).await;
    commit(client, [4]).await;
    make_old(&database).await;
    let before = Watermark::read(client).await.expect("a watermark").snapshot;
    set_next_id(client, 3_000_000).await;
    commit(client, [5]).await;
    make_old(&database).await;
    set_next_id(client, 9_500_000).await;
    commit(client, [6]).await;

    assert_eq!(
        prune(&mut pooled, cutoff(), None).await.expect("pruned"),
        Default::default(),
        "no watermark, no pruning"
    );
    let before_all = Snapshot::before_xid(3);
    assert_eq!(prune(&mut pooled, cutoff(), Some(&before_all)).await.expect("pruned"), Default::default());
    let young = prune(&mut pooled, SystemTime::UNIX_EPOCH, Some(&before)).await.expect("pruned");
    assert_eq!(young, Default::default(), "nothing is older than that");

    // A transaction that still writes to an old partition keeps it.
    let mut writer = database.session().await;
    let open = writer.client_mut().transaction().await.expect("begin");
    open.batch_execute(r#"LOCK TABLE "dms"."Outbox_1" IN ROW EXCLUSIVE MODE"#).await.expect("locked");
    let pruned = prune(&mut pooled, cutoff(), Some(&before)).await.expect("pruned");
    assert_eq!(
        (pruned.dropped, pruned.busy, pruned.deleted),
        (vec!["Outbox_0".to_owned(), "Outbox_2".to_owned()], vec!["Outbox_1".to_owned()], 1)
    );
    open.rollback().await.expect("rollback");
    let pruned = prune(&mut pooled, cutoff(), Some(&before)).await.expect("pruned");
    assert_eq!(pruned.dropped, ["Outbox_1"]);
    let after = Watermark::read(client).await.expect("a watermark").snapshot;
    let pruned = prune(&mut pooled, cutoff(), Some(&after)).await.expect("pruned");
    assert_eq!(pruned.dropped, ["Outbox_3"], "its row was not covered before");
    assert_eq!(partitions(client).await, ["Outbox_Default"]);
    let rows = not_in(client, &Snapshot::before_xid(3), 0, 10).await.expect("read");
    assert_eq!(documents(&rows), [6], "what is young stays");
}
