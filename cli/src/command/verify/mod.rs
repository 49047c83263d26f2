//! `millstream verify`: recomputes identities, edges and bodies from rows, compares them with the stored ones, and reports
//! the differences.
//!
//! If a process runs on the data folder, its queue and cascades get time to become empty first. Documents found behind
//! while there is time left are checked again, so that live writes do not count as lag. The sinks come after the tables:
//! they are compared with the cache.

mod audit;
mod options;
mod repair;
mod scope;
mod sinks;

pub(crate) use audit::{Audit, audit};
pub use options::VerifyOptions;
pub use scope::Selected;

use crate::{
    compiled::Compiled,
    config::Config,
    database::Server,
    failure::{Failure, Outcome},
};
use repair::Repair;
use std::io::Write;

/// Audits tables and sinks. Exit code 0 only if everything was compared and is equal and current; 3 if only lag or an
/// incomplete comparison was found.
pub async fn run(
    compiled: Compiled,
    config: &Config,
    options: &VerifyOptions,
    out: &mut (dyn Write + Send),
) -> Outcome {
    let server = Server::attach(config).await?;
    let outcome = audit(&server, &compiled, config, options).await;
    let repaired = match &outcome {
        Ok(audit) if options.repair => {
            let (dry_run, wait, sink) = (options.dry_run, options.wait, options.sink.as_deref());
            Repair { server: &server, compiled: &compiled, config, dry_run, wait, sink }.run(audit).await
        }
        _ => Ok(None),
    };
    let closed = server.close(config.shutdown_deadline).await;
    let audit = outcome?;
    closed?;
    // The result of the audit is printed even if the repair failed.
    let (repair, failed) = match repaired {
        Ok(repair) => (repair, None),
        Err(failure) => (None, Some(failure)),
    };
    let exit = audit.exit();
    if options.json {
        let report = audit.into_report(repair);
        writeln!(out, "{}", serde_json::to_string_pretty(&report).map_err(Failure::failed)?)
            .map_err(Failure::failed)?;
    } else {
        audit.print(out)?;
        if let Some(repair) = repair {
            out.write_all(repair::text(&repair).as_bytes()).map_err(Failure::failed)?;
        }
    }
    failed.map_or_else(|| Ok(exit), Err)
}
