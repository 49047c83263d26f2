//! Measures the time from a rename until each copy shows the new name in all documents that embed it.

use super::hub::{Affected, CountSearch, Hub, count_searches};
use super::installation::{Installation, PREFIX, TOPIC, index_stem, wait_delivered};
use super::probe::{Edit, Probe, SearchClient};
use super::topic::TopicReader;
use crate::connection::Connection;
use crate::failure::Failure;
use crate::process::{Launch, Process};
use crate::table;
use millstream_search::SearchModel;
use millstream_store::connect::Session;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// Number of renames of the document.
const RENAMES: usize = 3;
/// Characters of the old name that the new name keeps. Names have at most 60 characters in Ed-Fi.
const KEPT_CHARS: usize = 40;
/// Maximum number of documents per poll.
const PAGE: usize = 500;
/// Minimum pause between two polls of a copy.
const PAUSE_MIN: Duration = Duration::from_millis(20);
/// Pause as a multiple of the duration of the poll. Client, server and all copies share the processors, so polling
/// slows the copies down.
const PAUSE_FACTOR: u32 = 4;
/// Maximum time for a rename to reach every copy.
const DEADLINE: Duration = Duration::from_secs(120);

const CACHED_SQL: &str = r#"SELECT count(*) FROM unnest($1::uuid[], $2::int8[]) AS u(id, version)
JOIN "dms"."DocumentCache" c ON c."DocumentUuid" = u.id AND c."ContentVersion" >= u.version"#;

/// The measured copies in the order of the table.
const COPIES: [&str; 5] = [
    "the cache",
    "Kafka: a consumer has every record",
    "OpenSearch: read by id",
    "embedded index: counted by a search",
    "OpenSearch: found by a search",
];

pub(super) async fn measure(
    installation: &Installation,
    model: &SearchModel,
    launch: &Launch,
    up: &Process,
) -> Result<(), Failure> {
    let session = installation.session().await?;
    let mut hub = Hub::find(&session, &installation.world.mapping).await?;
    let mut connection = Connection::open(up.address).await?;
    let mut body = connection.json(&hub.path).await?;
    let old = body[&hub.member].as_str().ok_or("the name of the document is not a string")?.to_owned();
    let searches = count_searches(&hub, model, &old, &mut connection).await?;
    let (mut answered_s, mut times) = (Vec::new(), vec![Vec::new(); COPIES.len()]);
    for number in 1..=RENAMES {
        hub.refresh(&session).await?;
        let reader = TopicReader::start(&installation.kafka.bootstrap_servers(), TOPIC).await?;
        let name = format!("{} bench {number}", old.chars().take(KEPT_CHARS).collect::<String>());
        body[&hub.member] = name.clone().into();
        let sent = Instant::now();
        connection.put(&hub.path, &body.to_string()).await?;
        let answered = Instant::now();
        answered_s.push((answered - sent).as_secs_f64());
        let edits = edits(model, &hub.affected, answered)?;
        let opensearch = async {
            let by_id = all_seen(Probe::ById(SearchClient::new(installation)), &edits).await?;
            Ok::<_, Failure>((by_id, all_seen(Probe::BySearch(SearchClient::new(installation)), &edits).await?))
        };
        let (cache, kafka, (by_id, by_search), embedded) = tokio::try_join!(
            all_cached(installation, &edits),
            all_seen(Probe::Topic(reader), &edits),
            opensearch,
            all_counted(up, &searches, &name)
        )?;
        for (times, seen) in times.iter_mut().zip([cache, kafka, by_id, embedded, by_search]) {
            times.push(seen.saturating_duration_since(answered).as_secs_f64());
        }
        wait_delivered(launch).await?;
    }
    print(&hub, &answered_s, &times);
    Ok(())
}

fn print(hub: &Hub, answered_s: &[f64], times: &[Vec<f64>]) {
    let row = |name: &str, seconds: &[f64]| {
        let all = seconds.iter().map(|one| format!("{one:.2}")).collect::<Vec<_>>().join(" ");
        vec![name.to_owned(), format!("{:.2}", table::median(seconds)), all]
    };
    let mut rows = vec![row("(the answer itself, from sending)", answered_s)];
    rows.extend(COPIES.iter().zip(times).map(|(name, times)| row(name, times)));
    table::print(
        &format!(
            "one of {} renamed, which changes {} documents: from the answer until a copy shows it in all of them",
            hub.endpoint,
            hub.affected.len()
        ),
        &["copy", "median, s", "each, s"],
        &rows,
    );
}

/// Returns the edits to wait for. There are no other writers, so the next version of each document has the new name.
fn edits(model: &SearchModel, affected: &[Affected], answered: Instant) -> Result<Vec<Edit>, Failure> {
    let edit = |one: &Affected| {
        let resource = model.by_key(one.resource_key).ok_or("a document of an unknown type")?;
        let alias = format!("{PREFIX}.read.{}", index_stem(resource));
        Ok(Edit { uuid: one.uuid, version: one.version + 1, alias, number: 0, answered })
    };
    affected.iter().map(edit).collect()
}

/// Polls until all edits are visible. Returns the time at which the last one became visible.
async fn all_seen(mut probe: Probe, edits: &[Edit]) -> Result<Instant, Failure> {
    let mut pending = edits.to_vec();
    let mut last = None;
    while !pending.is_empty() {
        let rest = pending.split_off(PAGE.min(pending.len()));
        let started = Instant::now();
        let seen = probe.poll(&pending).await?;
        let unseen: Vec<Edit> =
            pending.into_iter().zip(&seen).filter_map(|(edit, seen)| seen.is_none().then_some(edit)).collect();
        last = last.max(seen.into_iter().flatten().max());
        check_deadline(edits.first().map(|edit| edit.answered), unseen.len() + rest.len())?;
        let is_behind = !unseen.is_empty();
        // Poll the unseen edits after the others.
        pending = [rest, unseen].concat();
        if is_behind {
            pause_after(started).await;
        }
    }
    last.ok_or_else(|| "nothing was renamed".into())
}

/// Polls the cache until it contains all edits. Returns the time of the last poll.
async fn all_cached(installation: &Installation, edits: &[Edit]) -> Result<Instant, Failure> {
    let session: Session = installation.session().await?;
    let (ids, versions): (Vec<Uuid>, Vec<i64>) = edits.iter().map(|edit| (edit.uuid, edit.version)).unzip();
    let statement = session.prepare(CACHED_SQL).await?;
    loop {
        let started = Instant::now();
        let cached: i64 = session.query_one(&statement, &[&ids, &versions]).await?.try_get(0)?;
        let missing = edits.len().saturating_sub(usize::try_from(cached)?);
        if missing == 0 {
            return Ok(Instant::now());
        }
        check_deadline(edits.first().map(|edit| edit.answered), missing)?;
        pause_after(started).await;
    }
}

/// Pauses between polls. A long pause delays the observation of a copy; a short one slows all copies down.
async fn pause_after(started: Instant) {
    tokio::time::sleep((started.elapsed() * PAUSE_FACTOR).max(PAUSE_MIN)).await;
}

/// Repeats the searches until each one counts all documents with the new name. Returns the time of the last poll.
async fn all_counted(up: &Process, searches: &[CountSearch], name: &str) -> Result<Instant, Failure> {
    let started = Instant::now();
    let mut connection = Connection::open(up.address).await?;
    for (at, search) in searches.iter().enumerate() {
        loop {
            let polled = Instant::now();
            if search.is_complete(&mut connection, name).await? {
                break;
            }
            check_deadline(Some(started), searches.len() - at)?;
            pause_after(polled).await;
        }
    }
    Ok(Instant::now())
}

fn check_deadline(since: Option<Instant>, missing: usize) -> Result<(), Failure> {
    if since.is_some_and(|since| since.elapsed() > DEADLINE) {
        return Err(
            format!("a rename did not reach every copy within {DEADLINE:?}: {missing} documents are missing").into()
        );
    }
    Ok(())
}
