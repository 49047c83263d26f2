//! Measures the time from the response to an edit until each copy shows it, at a steady rate of edits.

use super::installation::{Installation, PREFIX, TOPIC, index_stem};
use super::probe::{Edit, MARK, Probe, SearchClient};
use super::topic::TopicReader;
use crate::connection::Connection;
use crate::failure::Failure;
use crate::process::Process;
use crate::table;
use millstream_search::{SearchModel, SearchResource};
use serde_json::Value;
use std::time::{Duration, Instant};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;
use uuid::Uuid;

const EDITS_PER_S: u32 = 50;
const SECONDS: u32 = 25;
/// Number of first edits that are not measured, while connections open and the node's JIT compiler warms up.
const WARM_UP: usize = 100;
/// Number of documents that are edited in turn, so that two edits of one document are rarely in flight together.
const DOCUMENTS: i64 = 200;
const DEADLINE: Duration = Duration::from_secs(60);

/// The member that is edited.
const MEMBER: &str = "firstName";

/// A student to edit.
struct Student {
    uuid: Uuid,
    path: String,
    body: Value,
}

pub(super) async fn measure(installation: &Installation, model: &SearchModel, up: &Process) -> Result<(), Failure> {
    let students = model.iter().find(|resource| resource.endpoint == "students").ok_or("there are no students")?;
    let mut documents = find(installation, students, up).await?;
    let (mut names, mut senders, mut tasks) = (Vec::new(), Vec::new(), JoinSet::new());
    for (at, (name, probe)) in probes(installation, students, up).await?.into_iter().enumerate() {
        let (sender, receiver) = unbounded_channel();
        names.push(name);
        senders.push(sender);
        tasks.spawn(async move { follow(name, probe, receiver).await.map(|lags| (at, lags)) });
    }
    let alias = format!("{PREFIX}.read.{}", index_stem(students));
    let started = Instant::now();
    let response_times = edit(up, &mut documents, &alias, senders).await?;
    let seconds = started.elapsed().as_secs_f64();
    let mut lags = vec![Vec::new(); names.len()];
    while let Some(followed) = tasks.join_next().await {
        let (at, found) = followed??;
        lags[at] = found;
    }
    let row = |name: &str, all: &[f64]| {
        let measured = &all[WARM_UP.min(all.len())..];
        let percentiles = [0.5, 0.99, 1.0].map(|share| format!("{:.1}", table::percentile(measured, share)));
        std::iter::once(name.to_owned()).chain(percentiles).collect::<Vec<String>>()
    };
    let mut rows = vec![row("(the answer itself, from sending)", &response_times)];
    rows.extend(names.iter().zip(&lags).map(|(name, lags)| row(name, lags)));
    let rate = response_times.len() as f64 / seconds;
    table::print(
        &format!(
            "from the answer to an edit until a copy shows it: {rate:.0} edits/s, {} edits after a warm-up",
            response_times.len().saturating_sub(WARM_UP)
        ),
        &["copy", "p50, ms", "p99, ms", "longest, ms"],
        &rows,
    );
    Ok(())
}

async fn find(installation: &Installation, students: &SearchResource, up: &Process) -> Result<Vec<Student>, Failure> {
    let sql =
        r#"SELECT "DocumentUuid" FROM "dms"."Document" WHERE "ResourceKeyId" = $1 ORDER BY "DocumentId" LIMIT $2"#;
    let rows = installation.session().await?.query(sql, &[&students.key, &DOCUMENTS]).await?;
    let mut connection = Connection::open(up.address).await?;
    let mut documents = Vec::new();
    for row in rows {
        let uuid: Uuid = row.try_get(0)?;
        let path = format!("/data/{}/{}/{uuid}", students.project_endpoint, students.endpoint);
        let body = connection.json(&path).await?;
        documents.push(Student { uuid, path, body });
    }
    if documents.is_empty() { Err("no student to edit".into()) } else { Ok(documents) }
}

async fn probes(
    installation: &Installation,
    students: &SearchResource,
    up: &Process,
) -> Result<Vec<(&'static str, Probe)>, Failure> {
    let reader = TopicReader::start(&installation.kafka.bootstrap_servers(), TOPIC).await?;
    let path = format!("/search/{}/{}", students.project_endpoint, students.endpoint);
    let connection = Box::new(Connection::open(up.address).await?);
    Ok(vec![
        ("Kafka: a consumer has the record", Probe::Topic(reader)),
        ("OpenSearch: read by id", Probe::ById(SearchClient::new(installation))),
        ("OpenSearch: found by a search", Probe::BySearch(SearchClient::new(installation))),
        ("embedded index: found by a search", Probe::Embedded(connection, path, MEMBER)),
    ])
}

/// Edits at a rate of [`EDITS_PER_S`] and returns the response time of each edit in ms.
async fn edit(
    up: &Process,
    documents: &mut [Student],
    alias: &str,
    senders: Vec<UnboundedSender<Edit>>,
) -> Result<Vec<f64>, Failure> {
    let mut connection = Connection::open(up.address).await?;
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / EDITS_PER_S);
    let mut response_times = Vec::new();
    let (edits, count) = ((EDITS_PER_S * SECONDS) as usize + WARM_UP, documents.len());
    for number in 0..edits {
        ticks.tick().await;
        let document = &mut documents[number % count];
        document.body[MEMBER] = format!("{MARK}{number}").into();
        let sent = Instant::now();
        let version = connection.put(&document.path, &document.body.to_string()).await?;
        let answered = Instant::now();
        response_times.push((answered - sent).as_secs_f64() * 1_000.0);
        let edit = Edit { uuid: document.uuid, version, alias: alias.to_owned(), number, answered };
        for sender in &senders {
            // A probe task that has ended reports its error when it is joined.
            drop(sender.send(edit.clone()));
        }
    }
    Ok(response_times)
}

/// Polls a copy until all edits are visible in it, and returns the lag of each edit in ms, in the order of the edits.
async fn follow(name: &str, mut probe: Probe, mut edits: UnboundedReceiver<Edit>) -> Result<Vec<f64>, Failure> {
    let (mut pending, mut lags): (Vec<(usize, Edit)>, Vec<f64>) = (Vec::new(), Vec::new());
    loop {
        if pending.is_empty() {
            let Some(edit) = edits.recv().await else { return Ok(lags) };
            pending.push((lags.len(), edit));
            lags.push(f64::NAN);
        }
        while let Ok(edit) = edits.try_recv() {
            pending.push((lags.len(), edit));
            lags.push(f64::NAN);
        }
        let expected: Vec<Edit> = pending.iter().map(|(_, edit)| edit.clone()).collect();
        let seen = probe.poll(&expected).await?;
        let mut waiting = Vec::new();
        for ((at, edit), seen) in pending.into_iter().zip(seen) {
            match seen {
                // The edit may be visible before the response arrives.
                Some(seen) => lags[at] = seen.saturating_duration_since(edit.answered).as_secs_f64() * 1_000.0,
                None if edit.answered.elapsed() > DEADLINE => {
                    return Err(format!("{name}: an edit of {} did not arrive within {DEADLINE:?}", edit.uuid).into());
                }
                None => waiting.push((at, edit)),
            }
        }
        pending = waiting;
        tokio::time::sleep(probe.pause()).await;
    }
}
