//! Measures the commit-to-cache lag: from the response to an edit until the cache holds it, idle and under load.

use crate::connection::Connection;
use crate::failure::Failure;
use crate::process::{Process, binary, check_loaded};
use crate::setup::Setup;
use crate::table;
use millstream_store::connect::{ConnectOptions, Session};
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::process::Command;
use uuid::Uuid;

const EDITS: usize = 300;
const PAUSE: Duration = Duration::from_millis(20);
const DEADLINE: Duration = Duration::from_secs(30);
/// Connections of the load during the edits of the second row.
const CONNECTIONS: &str = "8";

/// A document that is edited by replacing one string member.
struct Editable {
    path: String,
    uuid: Uuid,
    body: serde_json::Value,
    member: String,
}

pub(crate) async fn measure(setup: &Setup, up: &Process, database: &ConnectOptions) -> Result<(), Failure> {
    let session = Session::open(database).await?;
    let document = find(setup, up, &session).await?;
    let idle = edit(up, &session, &document, "idle").await?;
    let (file, _) = setup.write_more(usize::MAX)?;
    let mut load = Command::new(binary()?)
        .args(["load", "--progress", "none", "--connections", CONNECTIONS, "--url", &format!("http://{}", up.address)])
        .arg(&file)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let busy = edit(up, &session, &document, "busy").await?;
    let loading = load.try_wait()?.is_none();
    check_loaded(&load.wait_with_output().await?)?;
    let row = |name: &str, lags: &[f64]| {
        vec![
            name.to_owned(),
            format!("{:.1}", table::percentile(lags, 0.5)),
            format!("{:.1}", table::percentile(lags, 0.99)),
        ]
    };
    let under = if loading { "under load, 8 connections" } else { "under load (which ended before the edits did)" };
    table::print(
        &format!("lag from the answer to an edit until the cache holds it, {EDITS} edits"),
        &["", "p50, ms", "p99, ms"],
        &[row("idle", &idle), row(under, &busy)],
    );
    Ok(())
}

/// Finds the first descriptor, whose description may be any text.
async fn find(setup: &Setup, up: &Process, session: &Session) -> Result<Editable, Failure> {
    let row = session
        .query_one(
            "SELECT d.\"DocumentUuid\", d.\"ResourceKeyId\" FROM \"dms\".\"Document\" d JOIN \"dms\".\"Descriptor\" x USING (\"DocumentId\")
             ORDER BY d.\"DocumentId\" LIMIT 1",
            &[],
        )
        .await?;
    let (uuid, key): (Uuid, i16) = (row.get(0), row.get(1));
    let mapping = &setup.world.mapping;
    let resource = mapping.resource(mapping.by_key(key).ok_or("an unknown type")?);
    let path = format!("/data/{}/{}/{uuid}", resource.project_endpoint, resource.endpoint);
    let mut connection = Connection::open(up.address).await?;
    if connection.get(&path).await? != 200 {
        return Err("the document to edit cannot be read".into());
    }
    let body = serde_json::from_slice(connection.body())?;
    Ok(Editable { path, uuid, body, member: "description".to_owned() })
}

async fn edit(up: &Process, session: &Session, document: &Editable, tag: &str) -> Result<Vec<f64>, Failure> {
    let cached = session
        .prepare("SELECT \"Body\" LIKE '%' || $2 || '%' FROM \"dms\".\"DocumentCache\" WHERE \"DocumentUuid\" = $1")
        .await?;
    let mut connection = Connection::open(up.address).await?;
    let mut lags = Vec::with_capacity(EDITS);
    for number in 0..EDITS {
        let mark = format!("{tag} {number} of {EDITS}");
        let mut body = document.body.clone();
        body[&document.member] = mark.clone().into();
        connection.put(&document.path, &body.to_string()).await?;
        let answered = Instant::now();
        loop {
            let row = session.query_opt(&cached, &[&document.uuid, &mark]).await?;
            if row.is_some_and(|row| row.get::<_, bool>(0)) {
                break;
            }
            if answered.elapsed() > DEADLINE {
                return Err(format!("an edit was not in the cache after {DEADLINE:?}").into());
            }
            tokio::time::sleep(Duration::from_micros(200)).await;
        }
        lags.push(answered.elapsed().as_secs_f64() * 1_000.0);
        tokio::time::sleep(PAUSE).await;
    }
    Ok(lags)
}
