//! Rebalances while work is in flight: work may be repeated, and is never lost.

use std::process::Stdio;
use std::time::Duration;

use millstream_connectors::queue::kafka::{KafkaQueue, KafkaQueueOptions};
use millstream_pipeline::queue::{Settled, WorkQueue};
use millstream_testkit::{BrokerOptions, KafkaBroker, wait_until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::ChildStdout;

use super::members::{WorkLog, put_all, start_member};
use super::support::{WITHIN, join_alone, new_prefix, open, options};

const DOCUMENTS: i64 = 1_000;

async fn depth(queue: &KafkaQueue) -> u64 {
    queue.stats().await.expect("stats").depth
}

/// Waits until the group has committed everything.
async fn all_committed(observer: &KafkaQueue) {
    wait_until("everything to be committed", WITHIN, || async { depth(observer).await == 0 }).await;
}

async fn owned(queue: &KafkaQueue) -> usize {
    queue.membership().await.expect("an answer").owned.len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_come_and_go_and_nothing_is_lost_or_done_by_two_at_once() {
    let servers = KafkaBroker::shared().await.bootstrap_servers();
    let options = KafkaQueueOptions { partitions: 6, ..options(&servers, &new_prefix()) };
    let log = WorkLog::default();
    let relay = open(options.clone()).await;
    put_all(&relay, DOCUMENTS, 1).await;
    let (first, second, third) = (open(options.clone()).await, open(options.clone()).await, open(options).await);
    let mut members = vec![start_member(first.clone(), log.clone())];
    wait_until("the first to work", WITHIN, || std::future::ready(log.processed() > 0)).await;
    members.push(start_member(second.clone(), log.clone()));
    put_all(&relay, DOCUMENTS, 2).await;
    wait_until("the second to have its share", WITHIN, || async { owned(&second).await == 3 }).await;
    members.push(start_member(third.clone(), log.clone()));
    put_all(&relay, DOCUMENTS, 3).await;
    wait_until("the third to have its share", WITHIN, || async { owned(&third).await == 2 }).await;
    put_all(&relay, DOCUMENTS, 4).await;
    first.close().await;
    put_all(&relay, DOCUMENTS, 5).await;
    third.close().await;
    wait_until("one to have all", WITHIN, || async { owned(&second).await == 6 }).await;
    log.all_done(DOCUMENTS, 5, WITHIN).await;
    all_committed(&relay).await;
    println!("{} processed for {} puts, {} overlaps", log.processed(), 5 * DOCUMENTS, log.overlaps());
    assert_eq!(log.overlaps(), 0, "no document was processed by two members at once");
    second.close().await;
    for member in members {
        member.await.expect("it ended in order");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_unfinished_is_never_committed() {
    let servers = KafkaBroker::shared().await.bootstrap_servers();
    let options = options(&servers, &new_prefix());
    let (relay, first) = (open(options.clone()).await, open(options.clone()).await);
    put_all(&relay, 200, 1).await;
    join_alone(&first).await;
    let taken = first.take(200).await.expect("taken");
    assert_eq!(taken.len(), 200);
    let odd: Vec<_> = taken.iter().filter(|taken| taken.work.document_id % 2 == 1).collect();
    let settled = odd.iter().map(|taken| (taken.ticket, Settled::Done)).collect();
    assert_eq!(first.settle(settled).await.expect("settled").removed, 100);
    // It commits again as it releases its partitions.
    first.close().await;
    let second = open(options).await;
    join_alone(&second).await;
    let mut again: Vec<i64> =
        second.take(500).await.expect("taken").iter().map(|taken| taken.work.document_id).collect();
    again.retain(|document_id| document_id % 2 == 0);
    again.sort_unstable();
    assert_eq!(again, (1..=200).filter(|document_id| document_id % 2 == 0).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_finished_is_removed_and_what_waits_for_long_is_written_again() {
    let servers = KafkaBroker::shared().await.bootstrap_servers();
    let prefix = new_prefix();
    let options = KafkaQueueOptions {
        partitions: 1,
        held_behind_max: 100,
        trim_interval: Duration::from_millis(50),
        ..options(&servers, &prefix)
    };
    let queue = open(options.clone()).await;
    join_alone(&queue).await;
    put_all(&queue, 1, 1).await;
    let held = queue.take(1).await.expect("taken").remove(0);
    put_all(&queue, 1_000, 1).await;
    let rest = queue.take(2_000).await.expect("taken");
    assert_eq!(rest.len(), 999, "one is in flight");
    let settled = rest.iter().map(|taken| (taken.ticket, Settled::Done)).collect();
    queue.settle(settled).await.expect("settled");
    let topic = format!("{prefix}.work");
    let begins = || low_watermark(&servers, &topic);
    wait_until("the finished records to be removed", WITHIN, || async { begins().await > 1_000 }).await;
    queue.close().await;
    let next = open(options).await;
    join_alone(&next).await;
    let left = next.take(2_000).await.expect("taken");
    assert_eq!(left.iter().map(|taken| taken.work.document_id).collect::<Vec<_>>(), [held.work.document_id]);
}

/// Returns the first offset of the only partition of a topic.
async fn low_watermark(servers: &str, topic: &str) -> i64 {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", servers).set("group.id", "a-plain-reader");
    let topic = topic.to_owned();
    let asked = tokio::task::spawn_blocking(move || {
        let reader: BaseConsumer = config.create().expect("a reader");
        reader.fetch_watermarks(&topic, 0, WITHIN).expect("an answer").0
    });
    asked.await.expect("an answer")
}

/// Waits for a line of the parent.
async fn wait_for_the_parent() {
    let read = || std::io::stdin().read_line(&mut String::new());
    assert!(tokio::task::spawn_blocking(read).await.expect("it reads").expect("a line") > 0, "the parent is gone");
}

/// A member in a process of its own: takes everything, waits for a line, settles, and prints the result.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "run by the test below, in a process of its own"]
async fn a_member_process() {
    let variable = |name| std::env::var(name).expect("the parent sets it");
    let queue = open(options(&variable("QUEUE_SERVERS"), &variable("QUEUE_PREFIX"))).await;
    join_alone(&queue).await;
    let taken = queue.take(usize::MAX).await.expect("taken");
    println!("\ntook {}", taken.len());
    wait_for_the_parent().await;
    let settled = taken.iter().map(|taken| (taken.ticket, Settled::Done)).collect();
    let report = queue.settle(settled).await.expect("settled");
    wait_until("it to learn that it was given up", WITHIN, || async {
        queue.membership().await.is_ok_and(|membership| membership.revocations > 0)
    })
    .await;
    println!("\nsettled {report:?} {:?}", queue.membership().await);
    wait_for_the_parent().await;
    queue.close().await;
}

/// Waits for a line of a member with this beginning.
async fn line(output: &mut Lines<BufReader<ChildStdout>>, beginning: &str) -> String {
    let found = async {
        loop {
            let line = output.next_line().await.expect("a line").expect("it lives");
            if line.starts_with(beginning) {
                return line;
            }
        }
    };
    tokio::time::timeout(WITHIN, found).await.expect("in time")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_slept_past_its_session_does_no_harm() {
    let servers = KafkaBroker::shared().await.bootstrap_servers();
    let prefix = new_prefix();
    let options = options(&servers, &prefix);
    let relay = open(options.clone()).await;
    put_all(&relay, DOCUMENTS, 1).await;
    let mut sleeper = tokio::process::Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", "queue::rebalance::a_member_process", "--ignored", "--nocapture"])
        .env("QUEUE_SERVERS", &servers)
        .env("QUEUE_PREFIX", &prefix)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("a process");
    let mut output = BufReader::new(sleeper.stdout.take().expect("its output")).lines();
    assert_eq!(line(&mut output, "took").await, format!("took {DOCUMENTS}"));
    let pid = Pid::from_raw(sleeper.id().expect("it lives").cast_signed());
    kill(pid, Signal::SIGSTOP).expect("stopped");

    let log = WorkLog::default();
    let successor = open(options).await;
    let member = start_member(successor.clone(), log.clone());
    log.all_done(DOCUMENTS, 1, WITHIN).await;
    put_all(&relay, DOCUMENTS, 2).await;
    log.all_done(DOCUMENTS, 2, WITHIN).await;
    all_committed(&relay).await;

    kill(pid, Signal::SIGCONT).expect("woken");
    let mut input = sleeper.stdin.take().expect("its input");
    input.write_all(b"settle\n").await.expect("written");
    println!("the sleeper {}", line(&mut output, "settled").await);
    put_all(&relay, DOCUMENTS, 3).await;
    input.write_all(b"end\n").await.expect("written");
    log.all_done(DOCUMENTS, 3, WITHIN).await;
    all_committed(&relay).await;
    successor.close().await;
    member.await.expect("it ended in order");
    assert!(sleeper.wait().await.expect("its end").success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_of_three_may_die() {
    let mut brokers = KafkaBroker::start(BrokerOptions { nodes: 3, ..BrokerOptions::default() }).await;
    let options = KafkaQueueOptions {
        partitions: 6,
        replication: 3,
        in_sync_min: 2,
        ..options(&brokers.bootstrap_servers(), &new_prefix())
    };
    let log = WorkLog::default();
    let (relay, first, second) = (open(options.clone()).await, open(options.clone()).await, open(options).await);
    let members = [start_member(first.clone(), log.clone()), start_member(second.clone(), log.clone())];
    let mut version = 0;
    for broker in [0, 1] {
        version += 1;
        put_all(&relay, DOCUMENTS, version).await;
        brokers.kill(broker);
        version += 1;
        put_all(&relay, DOCUMENTS, version).await;
        log.all_done(DOCUMENTS, version, Duration::from_secs(90)).await;
        brokers.restart(broker).await;
        println!("broker {broker} died: {} processed, {} overlaps", log.processed(), log.overlaps());
    }
    all_committed(&relay).await;
    first.close().await;
    second.close().await;
    for member in members {
        member.await.expect("it ended in order");
    }
}
