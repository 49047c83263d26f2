//! Trials: inject one fault into a process or a broker while documents change, then verify everything.

use crate::load::Load;
use crate::processes::{Processes, SESSION_TIMEOUT_MS};
use crate::support::random::Random;
use crate::support::report;
use millstream_connectors::sink::kafka::{KafkaOptions, KafkaSink};
use millstream_pipeline::sink::Sink;
use millstream_testkit::wait_for;
use nix::sys::signal::Signal;
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// Duration of a suspension. Longer than the session timeout of the consumer group and than the server's wait for a
/// relay's feedback.
const SUSPENSION: Duration = Duration::from_millis(SESSION_TIMEOUT_MS + 6_000);
/// Pause before and after a fault, during which documents are written.
const AROUND: Duration = Duration::from_millis(1_200);
/// Limit for a standby to take over.
const TAKE_OVER: Duration = Duration::from_secs(60);

/// A fault that a trial injects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    ProjectorKilled,
    RelayKilled,
    BrokerKilled,
    ProjectorSuspended,
    RelaySuspended,
    ProjectorJoinsAndLeaves,
    SinkKilled,
}

/// All faults, in the order of the trials. The quickest three come first, for short runs.
pub(crate) const FAULTS: [Fault; 7] = [
    Fault::ProjectorKilled,
    Fault::RelayKilled,
    Fault::BrokerKilled,
    Fault::ProjectorSuspended,
    Fault::RelaySuspended,
    Fault::ProjectorJoinsAndLeaves,
    Fault::SinkKilled,
];

/// Records every update of the cache that lowers a version.
const WATCH_SQL: &str = r#"
CREATE TABLE public."Regress" ("DocumentId" bigint, "From" bigint, "To" bigint);
CREATE FUNCTION public.regress() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF NEW."ContentVersion" < OLD."ContentVersion" THEN
        INSERT INTO public."Regress" VALUES (OLD."DocumentId", OLD."ContentVersion", NEW."ContentVersion");
    END IF; RETURN NEW; END $$;
CREATE TRIGGER regress BEFORE UPDATE ON "dms"."DocumentCache" FOR EACH ROW EXECUTE FUNCTION public.regress();"#;

/// Runs the trials and verifies after each one that no document is lost, stale or back at an earlier version.
pub(crate) async fn torture(trials: usize) {
    let (started, mut random) = (Instant::now(), Random::seeded("rebalance"));
    let mut processes = Processes::new().await;
    let session = processes.database.session().await;
    session.batch_execute(WATCH_SQL).await.expect("the trigger is installed");
    let load = Load::new(processes.process("api").http.clone()).await;
    report!("started in {:.0?}", started.elapsed());
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for trial in 0..trials {
        let fault = FAULTS[trial % FAULTS.len()];
        let (before, began) = (load.writes.load(Ordering::Relaxed), Instant::now());
        let stop = CancellationToken::new();
        let faulting = async {
            tokio::time::sleep(AROUND).await;
            inject(&mut processes, fault, &mut random).await;
            tokio::time::sleep(AROUND).await;
            stop.cancel();
        };
        tokio::join!(load.run(&stop), faulting);
        let injected = began.elapsed();
        processes.verify().await;
        let writes = load.writes.load(Ordering::Relaxed) - before;
        report!(
            "trial {trial}: {fault:?}, {writes} writes, fault over at {injected:.1?}, verified at {:.1?}",
            began.elapsed()
        );
        assert!(writes >= 20, "only {writes} writes: too few for the test");
        *counts.entry(format!("{fault:?}")).or_default() += 1;
    }
    let regressed: i64 =
        session.query_one(r#"SELECT count(*) FROM public."Regress""#, &[]).await.expect("a row").get(0);
    let (records, went_back) = versions_in_topic(&processes).await;
    let (writes, renames) = (load.writes.load(Ordering::Relaxed), load.renames.load(Ordering::Relaxed));
    report!(
        "{trials} trials in {:.0?} {counts:?}: {writes} writes, {renames} renames, {records} records in the topic; \
         lost: 0, regressed: {}, differences: 0",
        started.elapsed(),
        regressed + went_back
    );
    assert_eq!((regressed, went_back), (0, 0), "a version went back");
}

async fn inject(processes: &mut Processes, fault: Fault, random: &mut Random) {
    let projector = format!("project-{}", random.below(3) + 1);
    match fault {
        Fault::ProjectorKilled => {
            processes.take(&projector).kill().await;
            processes.start(&projector).await;
        }
        Fault::ProjectorSuspended => suspend(processes, &projector).await,
        Fault::ProjectorJoinsAndLeaves => {
            processes.start("project-4").await;
            tokio::time::sleep(AROUND).await;
            processes.take("project-4").stop().await;
        }
        Fault::SinkKilled => {
            let sink = if random.below(2) == 0 { "sink kafka" } else { "sink opensearch" };
            processes.take(sink).kill().await;
            processes.start(sink).await;
        }
        Fault::RelayKilled => {
            let active = active_relay(processes).await;
            processes.take(active).kill().await;
            assert_ne!(active_relay(processes).await, active, "the standby takes over");
            processes.start(active).await;
        }
        Fault::RelaySuspended => {
            let active = active_relay(processes).await;
            processes.process(active).signal(Signal::SIGSTOP);
            tokio::time::sleep(SUSPENSION).await;
            let standby = if active == "relay-1" { "relay-2" } else { "relay-1" };
            wait_for("the standby to take over", TAKE_OVER, || async {
                let setup = processes.setup(standby);
                let (_, text) = crate::support::process::run(&setup, &["--log-level=error", "status", "--json"]).await;
                let status: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
                (status["projector"]["source"]["connected"] == true).then_some(())
            })
            .await;
            processes.process(active).signal(Signal::SIGCONT);
        }
        Fault::BrokerKilled => {
            let node = random.below(3);
            processes.kafka.kill(node);
            tokio::time::sleep(AROUND).await;
            processes.kafka.restart(node).await;
        }
    }
}

async fn suspend(processes: &Processes, name: &str) {
    processes.process(name).signal(Signal::SIGSTOP);
    tokio::time::sleep(SUSPENSION).await;
    processes.process(name).signal(Signal::SIGCONT);
}

async fn active_relay(processes: &Processes) -> &'static str {
    wait_for("a relay to follow the outbox", TAKE_OVER, || processes.active_relay()).await
}

/// Returns the number of records in the documents topic, and how many have a lower version than an earlier record of
/// the same document.
async fn versions_in_topic(processes: &Processes) -> (usize, i64) {
    let resources = processes.world.schema.resource_keys.clone();
    let options = KafkaOptions {
        partitions: 6,
        replication: 3,
        in_sync_min: 2,
        ..KafkaOptions::new(processes.kafka.bootstrap_servers(), "edfi.documents.v1", resources)
    };
    let sink = KafkaSink::new(options).expect("the options are valid");
    let mut scan = sink.scan().await.expect("the topic can be read");
    let (mut newest, mut records, mut went_back) = (HashMap::new(), 0, 0);
    loop {
        let page = scan.next().await.expect("a page");
        if page.is_empty() {
            return (records, went_back);
        }
        for record in page {
            records += 1;
            let Some(version) = record.version else { continue };
            let before = newest.insert(record.uuid, version).unwrap_or(version);
            went_back += i64::from(version < before);
        }
    }
}
