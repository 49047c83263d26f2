//! Measures the time from process start to ready: schema files read, checked, derived and compiled, database checked, API
//! listening.

use crate::failure::Failure;
use crate::process::Process;
use crate::setup::Setup;
use crate::table;
use millstream_store::connect::ConnectOptions;
use std::time::Instant;

/// Starts and stops Millstream on an existing database; the limit is parsing the same files.
pub(crate) async fn measure(setup: &Setup, database: &ConnectOptions, rounds: usize) -> Result<(), Failure> {
    let (mut ready_ms, mut parse_ms) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let up = Process::start(&setup.launch(database)?).await?;
        ready_ms.push(up.ready_after.as_secs_f64() * 1_000.0);
        up.stop().await?;
        let started = Instant::now();
        for path in setup.world.corpus.schema_paths() {
            let schema: serde_json::Value = serde_json::from_slice(&std::fs::read(path)?)?;
            std::hint::black_box(schema);
        }
        parse_ms.push(started.elapsed().as_secs_f64() * 1_000.0);
    }
    table::print(
        "start-up on an existing database",
        &["from process start to ready, ms", "limit: parsing the schema files as JSON, ms"],
        &[vec![format!("{:.0}", table::median(&ready_ms)), format!("{:.0}", table::median(&parse_ms))]],
    );
    Ok(())
}
