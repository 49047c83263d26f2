//! Trials: something happens to a process or a broker while documents change; then everything is looked at.

use crate::crew::{Crew, SESSION_TIMEOUT_MS};
use crate::load::Load;
use crate::support::dice::Dice;
use crate::support::say;
use millstream_connectors::sink::kafka::{KafkaOptions, KafkaSink};
use millstream_pipeline::sink::Sink;
use millstream_testkit::wait_for;
use nix::sys::signal::Signal;
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// How long a process sleeps: longer than its session, and than the server waits to hear of a relay.
const ASLEEP: Duration = Duration::from_millis(SESSION_TIMEOUT_MS + 6_000);
/// How long documents change before and after something happens.
const AROUND: Duration = Duration::from_millis(1_200);
/// How long a standby may take.
const TAKE_OVER: Duration = Duration::from_secs(60);

/// What happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    ProjectorKilled,
    RelayKilled,
    BrokerKilled,
    ProjectorAsleep,
    RelayAsleep,
    ProjectorJoinsAndLeaves,
    SinkKilled,
}

/// In turn; the first three take the least time.
pub(crate) const FAULTS: [Fault; 7] = [
    Fault::ProjectorKilled,
    Fault::RelayKilled,
    Fault::BrokerKilled,
    Fault::ProjectorAsleep,
    Fault::RelayAsleep,
    Fault::ProjectorJoinsAndLeaves,
    Fault::SinkKilled,
];

/// Versions in the cache that went back.
const WATCH_SQL: &str = r#"
CREATE TABLE public."Regress" ("DocumentId" bigint, "From" bigint, "To" bigint);
CREATE FUNCTION public.regress() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF NEW."ContentVersion" < OLD."ContentVersion" THEN
        INSERT INTO public."Regress" VALUES (OLD."DocumentId", OLD."ContentVersion", NEW."ContentVersion");
    END IF; RETURN NEW; END $$;
CREATE TRIGGER regress BEFORE UPDATE ON "dms"."DocumentCache" FOR EACH ROW EXECUTE FUNCTION public.regress();"#;

pub(crate) async fn torture(trials: usize) {
    let (started, mut dice) = (Instant::now(), Dice::seeded("rebalance"));
    let mut crew = Crew::new().await;
    let session = crew.database.session().await;
    session.batch_execute(WATCH_SQL).await.expect("the cache can be watched");
    let load = Load::new(crew.process("api").http.clone()).await;
    say!("started in {:.0?}", started.elapsed());
    let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
    for trial in 0..trials {
        let fault = FAULTS[trial % FAULTS.len()];
        let (before, began) = (load.writes.load(Ordering::Relaxed), Instant::now());
        let stop = CancellationToken::new();
        let happening = async {
            tokio::time::sleep(AROUND).await;
            strike(&mut crew, fault, &mut dice).await;
            tokio::time::sleep(AROUND).await;
            stop.cancel();
        };
        tokio::join!(load.run(&stop), happening);
        let over = began.elapsed();
        crew.verify().await;
        let writes = load.writes.load(Ordering::Relaxed) - before;
        say!("trial {trial}: {fault:?}, {writes} writes, over at {over:.1?}, verified at {:.1?}", began.elapsed());
        assert!(writes >= 20, "only {writes} writes: this proves too little");
        *kinds.entry(format!("{fault:?}")).or_default() += 1;
    }
    let regressed: i64 =
        session.query_one(r#"SELECT count(*) FROM public."Regress""#, &[]).await.expect("a row").get(0);
    let (records, went_back) = versions_in_topic(&crew).await;
    let (writes, renames) = (load.writes.load(Ordering::Relaxed), load.renames.load(Ordering::Relaxed));
    say!(
        "{trials} trials in {:.0?} {kinds:?}: {writes} writes, {renames} renames, {records} records in the topic; lost: 0, \
         regressed: {}, differences: 0",
        started.elapsed(),
        regressed + went_back
    );
    assert_eq!((regressed, went_back), (0, 0), "a version went back");
}

async fn strike(crew: &mut Crew, fault: Fault, dice: &mut Dice) {
    let projector = format!("project-{}", dice.below(3) + 1);
    match fault {
        Fault::ProjectorKilled => {
            crew.take(&projector).kill().await;
            crew.start(&projector).await;
        }
        Fault::ProjectorAsleep => sleep(crew, &projector).await,
        Fault::ProjectorJoinsAndLeaves => {
            crew.start("project-4").await;
            tokio::time::sleep(AROUND).await;
            crew.take("project-4").stop().await;
        }
        Fault::SinkKilled => {
            let sink = if dice.below(2) == 0 { "sink kafka" } else { "sink opensearch" };
            crew.take(sink).kill().await;
            crew.start(sink).await;
        }
        Fault::RelayKilled => {
            let active = active_relay(crew).await;
            crew.take(active).kill().await;
            assert_ne!(active_relay(crew).await, active, "the standby takes over");
            crew.start(active).await;
        }
        Fault::RelayAsleep => {
            let active = active_relay(crew).await;
            crew.process(active).signal(Signal::SIGSTOP);
            tokio::time::sleep(ASLEEP).await;
            let standby = if active == "relay-1" { "relay-2" } else { "relay-1" };
            wait_for("the standby to take over", TAKE_OVER, || async {
                let setup = crew.setup(standby);
                let (_, text) = crate::support::child::run(&setup, &["--log-level=error", "status", "--json"]).await;
                let status: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
                (status["projector"]["source"]["connected"] == true).then_some(())
            })
            .await;
            crew.process(active).signal(Signal::SIGCONT);
        }
        Fault::BrokerKilled => {
            let node = dice.below(3);
            crew.kafka.kill(node);
            tokio::time::sleep(AROUND).await;
            crew.kafka.restart(node).await;
        }
    }
}

async fn sleep(crew: &Crew, name: &str) {
    crew.process(name).signal(Signal::SIGSTOP);
    tokio::time::sleep(ASLEEP).await;
    crew.process(name).signal(Signal::SIGCONT);
}

async fn active_relay(crew: &Crew) -> &'static str {
    wait_for("a relay to follow the outbox", TAKE_OVER, || crew.active_relay()).await
}

/// Records of the documents topic, and how many of them have an older version than one before them of that document.
async fn versions_in_topic(crew: &Crew) -> (usize, i64) {
    let resources = crew.world.schema.resource_keys.clone();
    let options = KafkaOptions {
        partitions: 6,
        replication: 3,
        in_sync_min: 2,
        ..KafkaOptions::new(crew.kafka.bootstrap_servers(), "edfi.documents.v1", resources)
    };
    let sink = KafkaSink::new(options).expect("the options are right");
    let mut scan = sink.scan().await.expect("the topic can be read");
    let (mut newest, mut records, mut went_back) = (HashMap::new(), 0, 0);
    loop {
        let page = scan.next().await.expect("a page");
        if page.is_empty() {
            return (records, went_back);
        }
        for held in page {
            records += 1;
            let Some(version) = held.version else { continue };
            let before = newest.insert(held.uuid, version).unwrap_or(version);
            went_back += i64::from(version < before);
        }
    }
}
