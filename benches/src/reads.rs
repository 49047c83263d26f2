//! Measures reads per second by id from the cache over HTTP, compared with `pgbench` selecting the same row.

use crate::connection::Connection;
use crate::failure::Failure;
use crate::process::Process;
use crate::setup::Setup;
use crate::table;
use millstream_store::connect::{ConnectOptions, Host, Session};
use std::net::SocketAddr;
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::process::Command;
use uuid::Uuid;

const CONNECTIONS: usize = 8;
const ROUND: Duration = Duration::from_secs(5);
const CACHE_DEADLINE: Duration = Duration::from_secs(300);

pub(crate) async fn measure(
    setup: &Setup,
    up: &Process,
    database: &ConnectOptions,
    rounds: usize,
) -> Result<(), Failure> {
    let session = Session::open(database).await?;
    wait_until_cached(&session, setup.base_documents).await?;
    let row = session
        .query_one(
            "SELECT c.\"DocumentUuid\", c.\"ResourceKeyId\" FROM \"dms\".\"DocumentCache\" c
             ORDER BY abs(length(c.\"Body\") - 800), c.\"DocumentId\" LIMIT 1",
            &[],
        )
        .await?;
    let (uuid, key): (Uuid, i16) = (row.get(0), row.get(1));
    let resource = setup.world.mapping.resource(setup.world.mapping.by_key(key).ok_or("an unknown type")?);
    let path = format!("/data/{}/{}/{uuid}", resource.project_endpoint, resource.endpoint);
    let (mut http, mut limits) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        http.push(read_for(up.address, &path).await?);
        limits.push(pgbench(setup, database, uuid).await?);
    }
    let (rate, limit) = (table::median(&http), table::median(&limits));
    table::print(
        &format!("reads by id from the cache, {CONNECTIONS} connections, one body of about 800 bytes"),
        &["GET/s over HTTP", "limit: pgbench -S on the same row, prepared", "ratio"],
        &[vec![format!("{rate:.0}"), format!("{limit:.0}"), format!("{:.2}", rate / limit)]],
    );
    Ok(())
}

pub(crate) async fn wait_until_cached(session: &Session, documents: usize) -> Result<(), Failure> {
    let started = Instant::now();
    loop {
        let cached: i64 = session.query_one("SELECT count(*) FROM \"dms\".\"DocumentCache\"", &[]).await?.get(0);
        if cached >= documents as i64 {
            return Ok(());
        }
        if started.elapsed() > CACHE_DEADLINE {
            return Err(format!("only {cached} of {documents} documents are cached after {CACHE_DEADLINE:?}").into());
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

async fn read_for(address: SocketAddr, path: &str) -> Result<f64, Failure> {
    let deadline = Instant::now() + ROUND;
    let workers: Vec<_> = (0..CONNECTIONS)
        .map(|_| {
            let path = path.to_owned();
            tokio::spawn(async move {
                let mut connection = Connection::open(address).await?;
                let mut count = 0_u64;
                while Instant::now() < deadline {
                    if connection.get(&path).await? != 200 {
                        return Err("a read returned another status than 200".into());
                    }
                    count += 1;
                }
                Ok::<u64, Failure>(count)
            })
        })
        .collect();
    let mut total = 0;
    for worker in workers {
        total += worker.await??;
    }
    Ok(total as f64 / ROUND.as_secs_f64())
}

async fn pgbench(setup: &Setup, database: &ConnectOptions, uuid: Uuid) -> Result<f64, Failure> {
    let script = setup.folder.path().join("read.sql");
    std::fs::write(
        &script,
        format!("SELECT \"Body\" FROM \"dms\".\"DocumentCache\" WHERE \"DocumentUuid\" = '{uuid}';\n"),
    )?;
    let Host::Tcp(host) = database.host() else { return Err("the bench cluster listens on TCP".into()) };
    let output = Command::new(binaries()?.join("pgbench"))
        .args(["-n", "-M", "prepared", "-h", host, "-p", &database.port().to_string(), "-U", database.user()])
        .args(["-c", &CONNECTIONS.to_string(), "-j", "2", "-T", &ROUND.as_secs().to_string(), "-f"])
        .arg(&script)
        .arg(database.dbname())
        .env("PGPASSWORD", String::from_utf8(database.password().unwrap_or_default().to_vec())?)
        .stdin(Stdio::null())
        .output()
        .await?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = text.lines().find(|line| line.starts_with("tps = "));
    let rate = line.and_then(|line| line.split_whitespace().nth(2)).and_then(|rate| rate.parse().ok());
    rate.ok_or_else(|| format!("pgbench printed no rate: {text}{}", String::from_utf8_lossy(&output.stderr)).into())
}

/// Returns the folder of the newest PostgreSQL programs of this machine.
fn binaries() -> Result<std::path::PathBuf, Failure> {
    let mut found: Vec<_> =
        std::fs::read_dir("/usr/lib/postgresql")?.filter_map(|entry| Some(entry.ok()?.path().join("bin"))).collect();
    found.sort();
    found.pop().ok_or_else(|| "no PostgreSQL under /usr/lib/postgresql".into())
}
