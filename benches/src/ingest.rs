//! Measures documents per second written over HTTP, compared with binary COPY of the same rows.

use crate::failure::Failure;
use crate::process::{Process, binary, check_loaded};
use crate::setup::Setup;
use crate::{copy, table};
use std::process::Stdio;
use std::time::Instant;
use tokio::process::Command;

const CONNECTIONS: [u16; 3] = [1, 8, 32];

pub(crate) async fn measure(setup: &Setup, rounds: usize, documents: usize) -> Result<(), Failure> {
    let (file, count) = setup.write_more(documents)?;
    let mut rates: Vec<Vec<f64>> = vec![Vec::new(); CONNECTIONS.len()];
    let mut limits = Vec::new();
    for round in 0..rounds {
        for (at, connections) in CONNECTIONS.iter().enumerate() {
            let name = format!("ingest_{round}_{connections}");
            let database = setup.copy(&name).await?;
            let above = copy::last_document(&database).await?;
            let up = Process::start(&setup.launch(&database)?).await?;
            let started = Instant::now();
            let loaded = Command::new(binary()?)
                .args(["load", "--progress", "none", "--url", &format!("http://{}", up.address)])
                .args(["--connections", &connections.to_string()])
                .arg(&file)
                .stdin(Stdio::null())
                .output()
                .await?;
            rates[at].push(count as f64 / started.elapsed().as_secs_f64());
            check_loaded(&loaded)?;
            up.stop().await?;
            if at == 0 {
                let rows = copy::out(setup, &database, above).await?;
                let limit = setup.copy("ingest_limit").await?;
                limits.push(count as f64 / copy::into(&rows, &limit).await?.as_secs_f64());
                setup.remove("ingest_limit").await?;
            }
            setup.remove(&name).await?;
        }
    }
    let limit = table::median(&limits);
    let rows: Vec<Vec<String>> = CONNECTIONS
        .iter()
        .zip(&rates)
        .map(|(connections, rates)| {
            let rate = table::median(rates);
            vec![connections.to_string(), format!("{rate:.0}"), format!("{limit:.0}"), format!("{:.3}", rate / limit)]
        })
        .collect();
    table::print(
        &format!("in over HTTP: {count} documents, one request each, committed durably"),
        &["connections", "documents/s", "limit: binary COPY of the same rows, one transaction", "ratio"],
        &rows,
    );
    Ok(())
}
