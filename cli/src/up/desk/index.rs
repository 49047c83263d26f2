//! Indexes built anew beside what is live: each generation has a lane of its own until it is dropped, so all of them are
//! kept current, and going back to the one before is as good as going forward.

use super::{failed, prove};
use crate::{control::IndexAction, failure::Failure, sinks::LaneName, up::board::About};
use millstream_pipeline::sink::generations::Generation;
use millstream_projector::sink_manager::backfill;
use serde_json::{Value, json};

pub(super) async fn carry_out(about: &About, sink: &str, action: IndexAction) -> Result<Value, Failure> {
    match action {
        IndexAction::List => list(about, sink).await,
        IndexAction::Build { per_s } => build(about, sink, per_s).await,
        IndexAction::Compare { generation } => {
            let generation = or_newest(about, sink, generation).await?;
            prove::prove(about, Some(&lane(sink, generation)), false).await
        }
        IndexAction::Swap { generation, unchecked } => swap(about, sink, generation, unchecked).await,
        IndexAction::Rollback => rollback(about, sink).await,
        IndexAction::Drop { generation } => drop_one(about, sink, generation).await,
    }
}

fn lane(sink: &str, generation: u32) -> String {
    LaneName { sink, generation: Some(generation) }.to_string()
}

async fn generations(about: &About, sink: &str) -> Result<Vec<Generation>, Failure> {
    about.sinks.generations(sink).map_err(Failure::usage)?.list().await.map_err(Failure::failed)
}

/// The generation that was named, or the newest.
async fn or_newest(about: &About, sink: &str, generation: Option<u32>) -> Result<u32, Failure> {
    let all = generations(about, sink).await?;
    let newest = all.iter().map(|generation| generation.number).max();
    generation.or(newest).ok_or_else(|| Failure::usage(format!("{sink} has no generation yet: add it as a sink first")))
}

async fn list(about: &About, sink: &str) -> Result<Value, Failure> {
    let delivered = about.fleet.names().await.map_err(failed)?;
    let rows = generations(about, sink).await?.into_iter().map(|generation| {
        json!({
            "generation": generation.number,
            "live": generation.live,
            "kept_current": delivered.contains(&lane(sink, generation.number)),
            "created_at_ms": generation.created_at_ms,
            "documents": generation.documents,
            "bytes": generation.bytes,
            "schema_hash": generation.schema_hash,
            "mapping_current": generation.mapping_current,
        })
    });
    Ok(json!({"generations": rows.collect::<Vec<_>>()}))
}

/// Makes the next generation and fills it. One that a crash left without its lane is taken up again.
async fn build(about: &About, sink: &str, per_s: Option<u32>) -> Result<Value, Failure> {
    let delivered = about.fleet.names().await.map_err(failed)?;
    let all = generations(about, sink).await?;
    let forsaken =
        all.iter().find(|one| !one.live && one.mapping_current && !delivered.contains(&lane(sink, one.number)));
    let number = match forsaken {
        Some(forsaken) if forsaken.documents == 0 => forsaken.number,
        _ => about.sinks.generations(sink).map_err(Failure::usage)?.create().await.map_err(Failure::failed)?,
    };
    let lane = lane(sink, number);
    about.fleet.add(&lane, Some(backfill(per_s))).await.map_err(failed)?;
    Ok(json!({"generation": number, "targets": [lane]}))
}

/// Makes a generation live, after it was compared with the source unless that is waived.
async fn swap(about: &About, sink: &str, generation: Option<u32>, unchecked: bool) -> Result<Value, Failure> {
    let number = or_newest(about, sink, generation).await?;
    if !unchecked {
        let report = prove::prove(about, Some(&lane(sink, number)), false).await?;
        let report = &report["sinks"][0];
        if report["differences"] != 0 {
            let why_not = report["error"].as_str().or(report["not_compared"].as_str());
            let what = why_not.map_or_else(|| report["counts"].to_string(), str::to_owned);
            return Err(Failure::failed(format!(
                "generation {number} of {sink} is not what the source is ({what}), so the live one stays: wait until it is \
                 built, or look at it with `millstream index compare`"
            )));
        }
    }
    let indexes = about.sinks.generations(sink).map_err(Failure::usage)?;
    indexes.swap(number).await.map_err(Failure::failed)?;
    tracing::info!(sink, generation = number, "searches are answered from this generation now");
    Ok(json!({"live": number}))
}

/// Makes the newest generation before the live one live again.
async fn rollback(about: &About, sink: &str) -> Result<Value, Failure> {
    let all = generations(about, sink).await?;
    let live = all.iter().find(|generation| generation.live).map(|generation| generation.number);
    let before = all.iter().map(|generation| generation.number).filter(|number| Some(*number) < live).max();
    let Some(before) = before else {
        return Err(Failure::usage(format!("{sink} has no generation before the live one: nothing to go back to")));
    };
    swap(about, sink, Some(before), false).await
}

async fn drop_one(about: &About, sink: &str, generation: u32) -> Result<Value, Failure> {
    let all = generations(about, sink).await?;
    if all.iter().any(|one| one.number == generation && one.live) {
        return Err(Failure::usage(format!("generation {generation} of {sink} is live: swap another one in first")));
    }
    let lane = lane(sink, generation);
    if about.fleet.names().await.map_err(failed)?.contains(&lane) {
        about.fleet.remove(&lane, super::REMOVE_DEADLINE).await.map_err(failed)?;
    }
    let indexes = about.sinks.generations(sink).map_err(Failure::usage)?;
    indexes.remove(generation).await.map_err(Failure::failed)?;
    Ok(json!({"dropped": generation}))
}
