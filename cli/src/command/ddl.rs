//! `millstream ddl`: prints the tables of a schema, or creates them.

use crate::{
    compiled::Compiled,
    config::Config,
    database::Server,
    exit::Exit,
    failure::{Failure, Outcome},
};
use millstream_store::provision::{self, Applied};
use std::io::Write;

/// Connections that creating tables needs.
const CONNECTIONS: usize = 2;

/// Prints the script that `ddl apply` executes.
pub fn emit(compiled: &Compiled, out: &mut dyn Write) -> Outcome {
    let script = provision::script(&compiled.schema, &compiled.ddl());
    out.write_all(script.as_bytes()).map_err(Failure::failed)?;
    Ok(Exit::Done)
}

/// Creates the tables in one transaction. Changes nothing in a database that has the tables of this schema.
pub async fn apply(compiled: &Compiled, config: &Config, out: &mut (dyn Write + Send)) -> Outcome {
    let server = Server::attach(config).await?;
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
    let written = match applied {
        Applied::Created => writeln!(out, "created the tables for effective schema {hash} in {}", server.options),
        Applied::Upgraded => {
            writeln!(out, "added the columns of this version to {}, built by an earlier version", server.options)
        }
        Applied::AlreadyCurrent => {
            writeln!(out, "{} already has the tables for effective schema {hash}", server.options)
        }
    };
    written.map_err(Failure::failed)?;
    Ok(Exit::Done)
}
