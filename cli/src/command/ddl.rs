//! `millstream ddl`: the tables as text, or made.

use super::Outcome;
use crate::{compiled::Compiled, config::Config, database::Server, exit::Exit, failure::Failure};
use millstream_store::provision::{self, Applied};
use std::io::Write;

/// Connections that making tables needs.
const CONNECTIONS: usize = 2;

/// Prints the script that `ddl apply` executes.
pub fn emit(compiled: &Compiled, out: &mut dyn Write) -> Outcome {
    let script = provision::script(&compiled.schema, &compiled.ddl());
    out.write_all(script.as_bytes()).map_err(Failure::failed)?;
    Ok(Exit::Done)
}

/// Makes the tables, all in one transaction, or finds that they were made for this schema.
pub async fn apply(compiled: &Compiled, config: &Config, out: &mut (dyn Write + Send)) -> Outcome {
    let server = Server::shared(config).await?;
    let outcome = apply_to(&server, compiled, out).await;
    let closed = server.close(config.shutdown_deadline).await;
    let exit = outcome?;
    closed.map(|()| exit)
}

async fn apply_to(server: &Server, compiled: &Compiled, out: &mut (dyn Write + Send)) -> Outcome {
    let database = server.connect(CONNECTIONS).await?;
    let applied = provision::apply(&database, &compiled.schema, &compiled.ddl()).await.map_err(Failure::failed)?;
    database.close();
    let hash = &compiled.schema.hash;
    let told = match applied {
        Applied::Created => writeln!(out, "made the tables for effective schema {hash} in {}", server.options),
        Applied::Upgraded => {
            writeln!(out, "{} was made by an earlier version and has the columns of this one now", server.options)
        }
        Applied::AlreadyCurrent => writeln!(out, "{} was made for effective schema {hash} already", server.options),
    };
    told.map_err(Failure::failed)?;
    Ok(Exit::Done)
}
