//! The database behind the address changes under running processes: a data directory is put back, a standby is promoted.
//! No process is restarted and no operator intervenes. No read may ever show another person's identity, and at the end the cache
//! and the sink equal the tables.

#[path = "../support/mod.rs"]
mod support;

mod district;

use district::District;
use millstream_store::connect::Session;
use millstream_testkit::{FaultProxy, TestCluster};

/// The creation of the slot waits for every transaction of the server; the log says for which.
#[tokio::test(flavor = "multi_thread")]
async fn a_slot_that_waits_for_a_forgotten_transaction_names_it_and_is_created_when_it_ends() {
    let cluster = TestCluster::start(TestCluster::durable_options()).await;
    let forgotten = Session::open(&cluster.connect_options("postgres")).await.expect("the cluster answers");
    forgotten.batch_execute("BEGIN").await.expect("begun");
    let pid: i32 =
        forgotten.query_one("SELECT pg_backend_pid(), pg_current_xact_id()", &[]).await.expect("one row").get(0);
    let mut district = District::start(&cluster, None, &["--source-kind=logical".to_owned()]).await;
    district.wait_logged(&format!("pid=\"{pid}\"")).await;
    district.enrol("old", 5).await;
    district.read_all().await;
    forgotten.batch_execute("ROLLBACK").await.expect("rolled back");
    district.wait_equal().await;
    district.stop().await;
}

/// A data directory that is older than what cache, queue and sink have seen.
#[tokio::test(flavor = "multi_thread")]
async fn a_data_directory_that_is_put_back_is_noticed_and_everything_is_compared() {
    put_back("logical").await;
}

/// The same with polling, whose positions are transaction ids.
#[tokio::test(flavor = "multi_thread")]
async fn a_data_directory_that_is_put_back_is_noticed_by_polling() {
    put_back("poll").await;
}

async fn put_back(source: &str) {
    let mut cluster = TestCluster::start(TestCluster::durable_options()).await;
    let mut district = District::start(&cluster, None, &[format!("--source-kind={source}")]).await;
    district.enrol("old", 20).await;
    district.wait_equal().await;
    let copy = cluster.copy_data().await;
    district.wait_ready().await;

    // Remembered, cached and delivered, then gone with the data directory.
    district.enrol("lost", 40).await;
    district.rename_students("old", 0..5, "edited in vain").await;
    district.delete_enrolments("old", 5..8).await;
    district.wait_equal().await;
    district.read_all().await;
    let lost = district.forget("lost");
    district.restore_names("old", 0..5);
    district.restore_enrolments("old", 5..8);

    let before = district.history().await;
    cluster.put_back(&copy).await;
    district.wait_ready().await;
    district.enrol("new", 60).await;
    // Versions of the lost edits are given out again, or would be.
    district.rename_students("old", 2..4, "edited again").await;
    district.read_all().await;
    district.wait_history_after(before).await;
    district.wait_equal().await;
    district.read_all().await;
    district.assert_absent(&lost).await;
    district.stop().await;
}

/// A standby that lacks the last commits is promoted; before that the address leads to it while it is still a standby.
#[tokio::test(flavor = "multi_thread")]
async fn a_promoted_standby_that_lacks_commits_is_followed_without_a_restart() {
    let mut primary = TestCluster::start(TestCluster::durable_options()).await;
    let proxy = FaultProxy::start(primary.address()).await;
    let mut district = District::start(&primary, Some(proxy.address()), &["--source-kind=logical".to_owned()]).await;
    district.enrol("old", 20).await;
    district.wait_equal().await;
    let mut standby = primary.standby().await;
    district.wait_ready().await;
    standby.wait_streaming().await;
    standby.stop().await;

    // The standby never receives these.
    district.enrol("lost", 40).await;
    district.delete_enrolments("old", 5..8).await;
    district.wait_equal().await;
    district.read_all().await;
    let lost = district.forget("lost");
    district.restore_enrolments("old", 5..8);
    let before = district.history().await;

    primary.crash().await;
    standby.start_again().await;
    proxy.redirect(standby.address());
    district.wait_logged("this server is a standby").await;
    district.database = standby.connect_options(district.database.dbname());
    standby.promote().await;
    district.wait_ready().await;
    district.enrol("new", 60).await;
    district.read_all().await;
    district.wait_history_after(before).await;
    district.wait_equal().await;
    district.read_all().await;
    district.assert_absent(&lost).await;
    district.stop().await;
}

/// A switchover: the primary stops cleanly, so the standby has everything.
#[tokio::test(flavor = "multi_thread")]
async fn a_planned_switchover_needs_no_operator() {
    let mut primary = TestCluster::start(TestCluster::durable_options()).await;
    let proxy = FaultProxy::start(primary.address()).await;
    let mut district = District::start(&primary, Some(proxy.address()), &["--source-kind=logical".to_owned()]).await;
    district.enrol("old", 10).await;
    let standby = primary.standby().await;
    district.wait_ready().await;
    standby.wait_streaming().await;
    district.enrol("moved", 10).await;
    let before = district.history().await;
    // A clean stop sends the whole log to the standby.
    primary.stop().await;
    standby.promote().await;
    proxy.redirect(standby.address());
    district.database = standby.connect_options(district.database.dbname());
    district.wait_ready().await;
    district.enrol("new", 10).await;
    district.wait_history_after(before).await;
    district.wait_equal().await;
    district.read_all().await;
    district.stop().await;
}
