//! `millstream incidents`: the mismatches that the consistency watchdog of this data folder has confirmed.

use crate::{args::IncidentsAction, config::Config, exit::Exit, failure::Failure, failure::Outcome};
use jiff::Timestamp;
use millstream_projector::watchdog::{Incident, IncidentLog};
use std::io::Write;

/// Prints the record. It is a file in the data folder, so no process has to run.
pub fn run(action: &IncidentsAction, config: &Config, out: &mut (dyn Write + Send)) -> Outcome {
    let incidents = IncidentLog::open(&config.data_dir).map_err(Failure::failed)?.all();
    match action {
        IncidentsAction::List { open, json } => {
            let listed = incidents.iter().filter(|incident| !open || incident.mended_at_ms.is_none());
            let listed: Vec<&Incident> = listed.collect();
            let text = if *json {
                format!("{}\n", serde_json::to_string_pretty(&listed).map_err(Failure::failed)?)
            } else {
                let mut text: String = listed.iter().map(|incident| line(incident)).collect();
                text.push_str(&format!("incidents: {}\n", listed.len()));
                text
            };
            out.write_all(text.as_bytes()).map_err(Failure::failed)?;
            Ok(Exit::Done)
        }
        IncidentsAction::Show { number } => {
            let incident = incidents.iter().find(|incident| incident.number == *number).ok_or_else(|| {
                Failure::usage(format!(
                    "no incident {number}: see `millstream incidents list`; only the last 1,000 are kept"
                ))
            })?;
            out.write_all(described(incident).as_bytes()).map_err(Failure::failed)?;
            Ok(Exit::Done)
        }
    }
}

fn at(ms: u64) -> String {
    let at = i64::try_from(ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    at.map_or_else(|| ms.to_string(), |at| at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

fn line(incident: &Incident) -> String {
    let Incident { number, resource, document, kind, place, .. } = incident;
    let state = if incident.mended_at_ms.is_some() { "mended" } else { "open" };
    format!("{number}  {}  {state}  {resource} {document}  {place}: {kind}\n", at(incident.at_ms))
}

fn described(incident: &Incident) -> String {
    let mut text = line(incident);
    text.push_str(&format!("  version   {}\n  reaction  {}\n", incident.version, incident.action));
    if let Some(mended_at_ms) = incident.mended_at_ms {
        text.push_str(&format!("  mended    {}\n", at(mended_at_ms)));
    }
    text.push_str("  likely causes\n");
    for cause in &incident.causes {
        text.push_str(&format!("    {cause}\n"));
    }
    text
}
