//! Trials: start the clients, inject a fault at a random moment, recover, verify everything.

use crate::clients::{ClientLog, Editor, Hub, Loader, Renamer};
use crate::fault::{self, FAULTS, Fault};
use crate::support::http::Http;
use crate::support::process::{Process, Setup, verify as verify_command};
use crate::support::random::Random;
use crate::support::{TIMEOUT, loaded, loading, report};
use futures::stream::{self, StreamExt};
use millstream_store::connect::{ConnectOptions, Database};
use millstream_store::verify::{VerifyOptions, verify};
use millstream_testkit::{TestCluster, TestDatabase, World, wait_until};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// Number of concurrent editors.
const EDITORS: usize = 4;
/// Minimum of answered writes per trial, on average.
const ANSWERED_MIN: u64 = 20;
/// Duration of the writes after a fault that leaves the process alive.
const AFTER_FAULT: Duration = Duration::from_millis(500);

/// True if the cache holds every document at its version and no cascade is open.
const SETTLED_SQL: &str = r#"SELECT NOT EXISTS (SELECT FROM "dms"."Cascade") AND NOT EXISTS (
    SELECT FROM "dms"."Document" d LEFT JOIN "dms"."DocumentCache" c USING ("DocumentId")
    WHERE c."ContentVersion" IS DISTINCT FROM d."ContentVersion")"#;

/// Parameters of a run.
pub(crate) struct Plan {
    pub(crate) world: &'static World,
    pub(crate) trials: usize,
    /// Earliest and latest moment of the fault after the start of the clients.
    pub(crate) kill_after: (Duration, Duration),
    /// Documents that are loaded before the first fault.
    pub(crate) loaded_first: usize,
}

/// The state of a run of trials.
struct TortureRun {
    world: &'static World,
    cluster: TestCluster,
    options: ConnectOptions,
    setup: Setup,
    up: Option<Process>,
    log: Arc<ClientLog>,
    loader: Loader,
    editors: Vec<Editor>,
    renamer: Renamer,
    random: Random,
}

/// Runs the trials.
pub(crate) async fn torture(plan: Plan) {
    let mut random = Random::seeded("torture");
    let cluster = TestCluster::start(TestCluster::durable_options()).await;
    let database = TestDatabase::create_in(&cluster).await;
    // Connections of this pool would count as sessions of a dead process.
    database.database().close();
    let folder = tempfile::tempdir().expect("a folder");
    let setup = Setup {
        schema_dir: plan.world.corpus.schema_dir(),
        data_dir: folder.path().join("data"),
        database: database.options().clone(),
        listen: "127.0.0.1:0".to_owned(),
        // Renames open cascades, so that faults can interrupt them.
        flags: ["--cascade-strict-max", "2", "--cascade-page", "20"].map(str::to_owned).to_vec(),
    };
    let up = Process::start(&setup).await;
    let (log, first) = (ClientLog::new(), loaded::documents(plan.world));
    let loaded = plan.loaded_first.min(first.len());
    let accepted = loading::load(&up.http, &plan.world.mapping, &first[..loaded]).await;
    for one in &accepted {
        log.writes.written(one.uuid, one.path(), one.etag, None);
    }
    let student = accepted.iter().find(|one| one.document.resource == "students").expect("a student was loaded");
    let template: Value = serde_json::from_slice(student.document.body()).expect("JSON");
    let path = format!("{}/students", student.document.project);
    let editors =
        (0..EDITORS).map(|number| Editor::new(number, path.clone(), template.clone(), random.split())).collect();
    let renamer = Renamer { hubs: hubs(&accepted), random: random.split(), writes: 0 };
    let loader = Loader { waiting: first[loaded..].iter().cloned().collect() };
    let options = database.options().clone();
    let world = plan.world;
    let mut run = TortureRun { world, cluster, options, setup, up: Some(up), log, loader, editors, renamer, random };

    let started = Instant::now();
    let mut faults: BTreeMap<String, usize> = BTreeMap::new();
    for trial in 0..plan.trials {
        let fault = FAULTS[trial % FAULTS.len()];
        run.run(trial, fault, plan.kill_after).await;
        *faults.entry(format!("{fault:?}")).or_default() += 1;
    }
    let (answered, unanswered, refused) = run.finish().await;
    let seconds = started.elapsed().as_secs();
    report!(
        "{} trials in {seconds} s {faults:?}: {answered} answered, {unanswered} unanswered, {refused} refused; nothing \
         missing, differences: 0",
        plan.trials
    );
    assert!(answered >= ANSWERED_MIN * plan.trials as u64, "only {answered} answered writes: too few for the test");
    drop(database);
}

/// Returns the sessions and class periods among the loaded documents.
fn hubs(accepted: &[loading::Accepted]) -> Vec<Hub> {
    let hub = |one: &loading::Accepted| {
        let member = match one.document.resource.as_str() {
            "sessions" => "sessionName",
            "classPeriods" => "classPeriodName",
            _ => return None,
        };
        let mut body: Value = serde_json::from_slice(one.document.body()).expect("JSON");
        body["id"] = json!(one.uuid);
        Some(Hub { uuid: one.uuid, path: one.path(), body, member })
    };
    accepted.iter().filter_map(hub).collect()
}

impl TortureRun {
    fn http(&self) -> Http {
        self.up.as_ref().expect("the process is running").http.clone()
    }

    async fn run(&mut self, trial: usize, fault: Fault, (earliest, latest): (Duration, Duration)) {
        let started = Instant::now();
        let before = self.log.answered.load(Ordering::Relaxed);
        let moment = self.random.between(earliest, latest);
        let http = self.http();
        let stop = CancellationToken::new();
        let log = Arc::clone(&self.log);
        let (up, cluster, random, options) = (&mut self.up, &mut self.cluster, &mut self.random, &self.options);
        let faulting = async {
            tokio::time::sleep(moment).await;
            inject(fault, up, cluster, random, options).await;
            if fault != Fault::Process {
                tokio::time::sleep(AFTER_FAULT).await;
            }
            stop.cancel();
        };
        let editing =
            stream::iter(&mut self.editors).for_each_concurrent(None, |editor| editor.run(&http, &log, &stop));
        let loading = self.loader.run(&http, &log, &stop);
        let renaming = self.renamer.run(&http, &log, &stop);
        futures::join!(faulting, editing, loading, renaming);

        let ended = fault::now(&self.options).await;
        match &mut self.up {
            Some(up) => up.assert_alive(),
            None => self.up = Some(Process::start(&self.setup).await),
        }
        if fault == Fault::Process {
            fault::outlast_sessions(&self.options, &ended).await;
        }
        let recovered = started.elapsed();
        self.check().await;
        let answered = self.log.answered.load(Ordering::Relaxed) - before;
        report!(
            "trial {trial}: {fault:?} after {moment:.1?}, {answered} writes answered, recovered at {recovered:.1?}, checked at \
             {:.1?}",
            started.elapsed()
        );
    }

    /// Checks that no write is missing and that tables and cache agree.
    async fn check(&mut self) {
        let http = self.http();
        wait_until("the process to be ready", TIMEOUT, || http.is_ready()).await;
        self.renamer.restore(&http, &self.log).await;
        self.settle().await;
        self.check_answered_writes(&http).await;
        let database = Database::connect(&self.options, 4).await.expect("the server accepts connections");
        let report = verify(&database, &self.world.mapping, &VerifyOptions::default(), &mut |_| {}).await;
        let report = report.expect("verified");
        assert!(
            report.is_clean(),
            "behind {}: {:#?}\n{:#?}",
            report.behind,
            report.behind_examples,
            report.differences
        );
        database.close();
    }

    async fn settle(&self) {
        let session = fault::session(&self.options).await;
        let started = Instant::now();
        wait_until("every document to be cached at its version", TIMEOUT, || async {
            let row = session.query_one(SETTLED_SQL, &[]).await.expect("the cache can be compared");
            if !row.get::<_, bool>(0) && started.elapsed() > TIMEOUT / 2 {
                report!("still behind after {:.0?}: {}", started.elapsed(), self.setup.log_tail());
            }
            row.get(0)
        })
        .await;
    }

    async fn check_answered_writes(&self, http: &Http) {
        let writes = &self.log.writes;
        let found = writes.contradictions(async |path| Some(http.get(path).await), |_, _| None).await;
        let count = writes.all().len();
        assert!(found.is_empty(), "{} of {count} answered writes: {:#?}", found.len(), &found[..found.len().min(10)]);
    }

    /// Runs `millstream verify` and stops the process; returns the counters.
    async fn finish(mut self) -> (u64, u64, u64) {
        let (code, text) = verify_command(&self.setup).await;
        assert_eq!(code, Some(0), "{text}");
        self.up.take().expect("the process is running").stop().await;
        let count = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        (count(&self.log.answered), count(&self.log.unanswered), count(&self.log.refused))
    }
}

async fn inject(
    fault: Fault,
    up: &mut Option<Process>,
    cluster: &mut TestCluster,
    random: &mut Random,
    options: &ConnectOptions,
) {
    match fault {
        Fault::Process => up.take().expect("the process is running").kill().await,
        Fault::Sessions => fault::end_sessions(options, random).await,
        Fault::Backend => fault::kill_backend(options, random).await,
        Fault::Cluster => cluster.crash_and_restart().await,
    }
}
