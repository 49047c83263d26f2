//! From the rename of a document that many embed until every copy shows it in all of them.

use super::hub::{Affected, Count, Hub, counts};
use super::place::{PREFIX, Place, TOPIC, wait_delivered};
use super::probe::{Edit, Probe, Search};
use super::stem;
use super::topic::TopicReader;
use crate::connection::Connection;
use crate::setup::Failure;
use crate::table;
use crate::up::{Launch, Up};
use millstream_search::SearchModel;
use millstream_store::connect::Session;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// Renames of the same document.
const RENAMES: usize = 3;
/// Longest part of the old name that is kept: names have at most 60 characters in Ed-Fi.
const KEPT_CHARS: usize = 40;
/// Documents that are asked for at a time.
const PAGE: usize = 500;
/// Least pause between two looks at a copy.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// And how many times as long as the look itself took: client, server and all copies share the processors.
const REST: u32 = 4;
const DEADLINE: Duration = Duration::from_secs(120);

const CACHED_SQL: &str = r#"SELECT count(*) FROM unnest($1::uuid[], $2::int8[]) AS u(id, version)
JOIN "dms"."DocumentCache" c ON c."DocumentUuid" = u.id AND c."ContentVersion" >= u.version"#;

/// What is looked at, in the order of the table.
const COPIES: [&str; 5] = [
    "the cache",
    "Kafka: a consumer has every record",
    "OpenSearch: read by id",
    "embedded index: counted by a search",
    "OpenSearch: found by a search",
];

pub(super) async fn measure(place: &Place, model: &SearchModel, launch: &Launch, up: &Up) -> Result<(), Failure> {
    let session = place.session().await?;
    let mut hub = Hub::find(&session, &place.world.mapping).await?;
    let mut connection = Connection::open(up.address).await?;
    let mut body = connection.json(&hub.path).await?;
    let old = body[&hub.member].as_str().ok_or("the name of the document is no text")?.to_owned();
    let counts = counts(&hub, model, &old, &mut connection).await?;
    let (mut answered_s, mut times) = (Vec::new(), vec![Vec::new(); COPIES.len()]);
    for number in 1..=RENAMES {
        hub.refresh(&session).await?;
        let reader = TopicReader::begin(&place.kafka.bootstrap_servers(), TOPIC).await?;
        let name = format!("{} bench {number}", old.chars().take(KEPT_CHARS).collect::<String>());
        body[&hub.member] = name.clone().into();
        let sent = Instant::now();
        connection.put(&hub.path, &body.to_string()).await?;
        let answered = Instant::now();
        answered_s.push((answered - sent).as_secs_f64());
        let edits = edits(model, &hub.affected, answered)?;
        let open_search = async {
            let by_id = all_seen(Probe::ById(Search::new(place)), &edits).await?;
            Ok::<_, Failure>((by_id, all_seen(Probe::BySearch(Search::new(place)), &edits).await?))
        };
        let (cache, kafka, (by_id, by_search), embedded) = tokio::try_join!(
            all_cached(place, &edits),
            all_seen(Probe::Topic(reader), &edits),
            open_search,
            all_counted(up, &counts, &name)
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

/// Nobody else writes, so any later version of a document shows the new name.
fn edits(model: &SearchModel, affected: &[Affected], answered: Instant) -> Result<Vec<Edit>, Failure> {
    let edit = |one: &Affected| {
        let resource = model.by_key(one.resource_key).ok_or("a document of an unknown type")?;
        let alias = format!("{PREFIX}.read.{}", stem(resource));
        Ok(Edit { uuid: one.uuid, version: one.version + 1, alias, number: 0, answered })
    };
    affected.iter().map(edit).collect()
}

/// When the last of them was seen.
async fn all_seen(mut probe: Probe, edits: &[Edit]) -> Result<Instant, Failure> {
    let mut pending = edits.to_vec();
    let mut last = None;
    while !pending.is_empty() {
        let rest = pending.split_off(PAGE.min(pending.len()));
        let begun = Instant::now();
        let seen = probe.look(&pending).await?;
        let unseen: Vec<Edit> =
            pending.into_iter().zip(&seen).filter_map(|(edit, seen)| seen.is_none().then_some(edit)).collect();
        last = last.max(seen.into_iter().flatten().max());
        check_deadline(edits.first().map(|edit| edit.answered), unseen.len() + rest.len())?;
        let is_behind = !unseen.is_empty();
        // What was not there yet is asked for after the others.
        pending = [rest, unseen].concat();
        if is_behind {
            rest_after(begun).await;
        }
    }
    last.ok_or_else(|| "nothing was renamed".into())
}

async fn all_cached(place: &Place, edits: &[Edit]) -> Result<Instant, Failure> {
    let session: Session = place.session().await?;
    let (ids, versions): (Vec<Uuid>, Vec<i64>) = edits.iter().map(|edit| (edit.uuid, edit.version)).unzip();
    let statement = session.prepare(CACHED_SQL).await?;
    loop {
        let begun = Instant::now();
        let cached: i64 = session.query_one(&statement, &[&ids, &versions]).await?.try_get(0)?;
        let missing = edits.len().saturating_sub(usize::try_from(cached)?);
        if missing == 0 {
            return Ok(Instant::now());
        }
        check_deadline(edits.first().map(|edit| edit.answered), missing)?;
        rest_after(begun).await;
    }
}

/// Looking less often makes a copy seem later by a pause; looking without one would make all of them later.
async fn rest_after(begun: Instant) {
    tokio::time::sleep((begun.elapsed() * REST).max(LOOK_AGAIN)).await;
}

async fn all_counted(up: &Up, counts: &[Count], name: &str) -> Result<Instant, Failure> {
    let begun = Instant::now();
    let mut connection = Connection::open(up.address).await?;
    for (at, count) in counts.iter().enumerate() {
        loop {
            let looked = Instant::now();
            if count.is_complete(&mut connection, name).await? {
                break;
            }
            check_deadline(Some(begun), counts.len() - at)?;
            rest_after(looked).await;
        }
    }
    Ok(Instant::now())
}

fn check_deadline(since: Option<Instant>, missing: usize) -> Result<(), Failure> {
    if since.is_some_and(|since| since.elapsed() > DEADLINE) {
        return Err(format!("a rename was not everywhere after {DEADLINE:?}: {missing} are missing").into());
    }
    Ok(())
}
