//! Trials: let the crowd in, break something at a random moment, mend it, look at everything.

use crate::crowd::{Editor, Hub, Loader, Renamer, Shared};
use crate::fault::{self, FAULTS, Fault};
use crate::support::child::{Setup, Up, verify as verify_command};
use crate::support::dice::Dice;
use crate::support::http::Http;
use crate::support::{PATIENCE, loaded, loading, say};
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

/// Editors at the same time.
const EDITORS: usize = 4;
/// Answered writes that a trial must have seen, on average.
const ANSWERED_MIN: u64 = 20;
/// Requests in flight while the ledger is checked.
const SIDE_BY_SIDE: usize = 8;
/// How long the crowd goes on after a fault that leaves the process alive.
const GO_ON: Duration = Duration::from_millis(500);

/// The cache holds every document at its version, and nothing waits.
const SETTLED_SQL: &str = r#"SELECT NOT EXISTS (SELECT FROM "dms"."Cascade") AND NOT EXISTS (
    SELECT FROM "dms"."Document" d LEFT JOIN "dms"."DocumentCache" c USING ("DocumentId")
    WHERE c."ContentVersion" IS DISTINCT FROM d."ContentVersion")"#;

/// What to do.
pub(crate) struct Plan {
    pub(crate) world: &'static World,
    pub(crate) trials: usize,
    /// Between which times after the crowd was let in something breaks.
    pub(crate) kill_after: (Duration, Duration),
    /// Documents that are loaded before anything breaks.
    pub(crate) loaded_first: usize,
}

/// Everything that a run of trials has.
struct Arena {
    world: &'static World,
    cluster: TestCluster,
    options: ConnectOptions,
    setup: Setup,
    up: Option<Up>,
    shared: Arc<Shared>,
    loader: Loader,
    editors: Vec<Editor>,
    renamer: Renamer,
    dice: Dice,
}

/// Runs the trials.
pub(crate) async fn torture(plan: Plan) {
    let mut dice = Dice::seeded("torture");
    let cluster = TestCluster::start(TestCluster::durable_options()).await;
    let database = TestDatabase::create_in(&cluster).await;
    // Its own connections would be taken for those of a dead process.
    database.database().close();
    let folder = tempfile::tempdir().expect("a folder");
    let setup = Setup {
        schema_dir: schema_dir(plan.world),
        data_dir: folder.path().join("data"),
        database: database.options().clone(),
        // Renames open cascades, so that there is something to be interrupted.
        listen: "127.0.0.1:0".to_owned(),
        flags: ["--cascade-strict-max", "2", "--cascade-page", "20"].map(str::to_owned).to_vec(),
    };
    let up = Up::start(&setup).await;
    let (shared, first) = (Shared::new(), loaded::documents(plan.world));
    let loaded = plan.loaded_first.min(first.len());
    let accepted = loading::load(&up.http, &plan.world.mapping, &first[..loaded]).await;
    for one in &accepted {
        shared.ledger.written(one.uuid, one.path(), one.etag, None);
    }
    let student = accepted.iter().find(|one| one.document.resource == "students").expect("a student was loaded");
    let template: Value = serde_json::from_slice(student.document.body()).expect("JSON");
    let path = format!("{}/students", student.document.project);
    let editors =
        (0..EDITORS).map(|number| Editor::new(number, path.clone(), template.clone(), dice.split())).collect();
    let renamer = Renamer { hubs: hubs(&accepted), dice: dice.split(), turns: 0 };
    let loader = Loader { waiting: first[loaded..].iter().cloned().collect() };
    let options = database.options().clone();
    let world = plan.world;
    let mut arena = Arena { world, cluster, options, setup, up: Some(up), shared, loader, editors, renamer, dice };

    let started = Instant::now();
    let mut faults: BTreeMap<String, usize> = BTreeMap::new();
    for trial in 0..plan.trials {
        let fault = FAULTS[trial % FAULTS.len()];
        arena.run(trial, fault, plan.kill_after).await;
        *faults.entry(format!("{fault:?}")).or_default() += 1;
    }
    let (answered, unanswered, refused) = arena.finish().await;
    let seconds = started.elapsed().as_secs();
    say!(
        "{} trials in {seconds} s {faults:?}: {answered} answered, {unanswered} unanswered, {refused} refused; nothing \
         missing, differences: 0",
        plan.trials
    );
    assert!(answered >= ANSWERED_MIN * plan.trials as u64, "only {answered} answered writes: this proves too little");
    drop(database);
}

fn schema_dir(world: &World) -> std::path::PathBuf {
    let file = world.corpus.schema_paths().into_iter().next().expect("a schema file");
    file.parent().expect("a folder").to_owned()
}

/// Sessions and class periods among the loaded documents.
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

impl Arena {
    fn http(&self) -> Http {
        self.up.as_ref().expect("it runs").http.clone()
    }

    async fn run(&mut self, trial: usize, fault: Fault, (earliest, latest): (Duration, Duration)) {
        let started = Instant::now();
        let before = self.shared.answered.load(Ordering::Relaxed);
        let moment = self.dice.between(earliest, latest);
        let http = self.http();
        let stop = CancellationToken::new();
        let shared = Arc::clone(&self.shared);
        let (up, cluster, dice, options) = (&mut self.up, &mut self.cluster, &mut self.dice, &self.options);
        let breaking = async {
            tokio::time::sleep(moment).await;
            strike(fault, up, cluster, dice, options).await;
            if fault != Fault::Process {
                tokio::time::sleep(GO_ON).await;
            }
            stop.cancel();
        };
        let editing =
            stream::iter(&mut self.editors).for_each_concurrent(None, |editor| editor.run(&http, &shared, &stop));
        let loading = self.loader.run(&http, &shared, &stop);
        let renaming = self.renamer.run(&http, &shared, &stop);
        futures::join!(breaking, editing, loading, renaming);

        let broken = fault::now(&self.options).await;
        match &mut self.up {
            Some(up) => up.assert_alive(),
            None => self.up = Some(Up::start(&self.setup).await),
        }
        if fault == Fault::Process {
            fault::outlast_sessions(&self.options, &broken).await;
        }
        let back = started.elapsed();
        self.check().await;
        let answered = self.shared.answered.load(Ordering::Relaxed) - before;
        say!(
            "trial {trial}: {fault:?} after {moment:.1?}, {answered} writes answered, mended at {back:.1?}, checked at \
             {:.1?}",
            started.elapsed()
        );
    }

    /// Nothing is missing, nothing is behind, nothing differs.
    async fn check(&mut self) {
        let http = self.http();
        wait_until("the process to be ready", PATIENCE, || http.is_ready()).await;
        self.renamer.restore(&http, &self.shared).await;
        self.settle().await;
        self.check_ledger(&http).await;
        let database = Database::connect(&self.options, 4).await.expect("the server is there");
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
        wait_until("every document to be cached at its version", PATIENCE, || async {
            let row = session.query_one(SETTLED_SQL, &[]).await.expect("the cache can be compared");
            if !row.get::<_, bool>(0) && started.elapsed() > PATIENCE / 2 {
                say!("still behind after {:.0?}: {}", started.elapsed(), self.setup.log_tail());
            }
            row.get(0)
        })
        .await;
    }

    async fn check_ledger(&self, http: &Http) {
        let known = self.shared.ledger.all();
        let count = known.len();
        let checks = stream::iter(known).map(|(uuid, known)| async move {
            let reply = http.get(&known.path).await;
            let body = if reply.status == 200 { reply.json() } else { Value::Null };
            if reply.status == 404 && known.maybe_deleted {
                self.shared.ledger.is_gone(uuid);
            }
            known.contradiction(reply.status, reply.etag, &body).map(|text| format!("{}: {text}", known.path))
        });
        let found: Vec<String> = checks.buffer_unordered(SIDE_BY_SIDE).filter_map(std::future::ready).collect().await;
        assert!(found.is_empty(), "{} of {count} answered writes: {:#?}", found.len(), &found[..found.len().min(10)]);
    }

    /// The command agrees, and the process stops in order.
    async fn finish(mut self) -> (u64, u64, u64) {
        let (code, text) = verify_command(&self.setup).await;
        assert_eq!(code, Some(0), "{text}");
        self.up.take().expect("it runs").stop().await;
        let count = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        (count(&self.shared.answered), count(&self.shared.unanswered), count(&self.shared.refused))
    }
}

async fn strike(
    fault: Fault,
    up: &mut Option<Up>,
    cluster: &mut TestCluster,
    dice: &mut Dice,
    options: &ConnectOptions,
) {
    match fault {
        Fault::Process => up.take().expect("it runs").kill().await,
        Fault::Sessions => fault::end_sessions(options, dice).await,
        Fault::Backend => fault::kill_backend(options, dice).await,
        Fault::Cluster => cluster.crash_and_restart().await,
    }
}
