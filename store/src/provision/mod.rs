//! Giving a database its tables, once, for one effective schema.
//!
//! A database is built for exactly one set of ApiSchema files and carries that set's fingerprint. [`apply`] builds it
//! in one transaction, finds it built already, or refuses; a resource table is never altered, and the shared tables
//! only get the columns that they lack (`upgrade`). [`check`] compares without changing anything; servers call it at
//! their start. [`script`] returns the text that `apply` executes, for operators who run it themselves.

mod error;
mod fingerprint;
mod locks;
mod script;
mod server;
mod upgrade;

use millstream_schema::apischema::EffectiveSchema;
use tokio_postgres::Client;

pub use crate::table::effective_schema::Fingerprint;
pub use error::ProvisionError;
pub use locks::locks_needed;
pub use script::{DMS_DDL, script};
pub use server::{PUBLICATION, ServerFacts};

use crate::connect::Database;
use crate::error::{During, StoreError};
use crate::table::effective_schema;

/// Key of the advisory lock that serializes [`apply`] ("millstre" in ASCII).
const APPLY_LOCK: i64 = 0x6d69_6c6c_7374_7265;

/// The outcome of [`apply`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    /// Created everything.
    Created,
    /// Added the columns that a database of an earlier version lacks.
    Upgraded,
    /// Everything existed, for the same schema.
    AlreadyCurrent,
}

/// The schema that a database was built for, compared with an effective schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SchemaState {
    /// For this one.
    Current,
    /// For this one, by an earlier version: [`apply`] adds what it lacks.
    Outdated {
        /// Names of the missing columns.
        missing: Vec<String>,
    },
    /// For none: schema `dms` is empty.
    Empty,
    /// For another one.
    Other {
        /// Hash of the schema it was built for.
        found: String,
    },
    /// Its contents contradict its fingerprint, or it has tables but no fingerprint.
    Damaged {
        /// Description of the contradiction.
        reason: String,
    },
}

/// Builds the database for `schema`, or reports that it was built for it already. `resource_ddl` is the DDL of the
/// resource tables (`millstream_schema::ddl::postgres`).
///
/// All of it is one transaction: after a failure the database is as it was.
pub async fn apply(
    database: &Database,
    schema: &EffectiveSchema,
    resource_ddl: &str,
) -> Result<Applied, ProvisionError> {
    let mut client = database.get().await?;
    let transaction = client.transaction().await.during("opening the transaction of the build")?;
    let applied = build(transaction.client(), database, schema, resource_ddl).await?;
    transaction.commit().await.during("committing the build")?;
    Ok(applied)
}

/// Compares the schema that the database was built for with `schema`, without changing anything.
pub async fn check(database: &Database, schema: &EffectiveSchema) -> Result<SchemaState, StoreError> {
    let client = database.get().await?;
    state(&client, schema).await
}

/// Reads the database's fingerprint; `None` if Millstream did not build it.
pub async fn fingerprint(database: &Database) -> Result<Option<Fingerprint>, StoreError> {
    let client = database.get().await?;
    effective_schema::fingerprint(&*client).await
}

/// Reads facts about the server and the role.
pub async fn server_facts(database: &Database) -> Result<ServerFacts, StoreError> {
    let client = database.get().await?;
    server::facts(&client).await
}

/// [`apply`] inside its transaction.
async fn build(
    client: &Client,
    database: &Database,
    schema: &EffectiveSchema,
    resource_ddl: &str,
) -> Result<Applied, ProvisionError> {
    let facts = server::facts(client).await?;
    facts.check_version()?;
    facts.check_encoding(database.options())?;
    // Another applier may take a while, but must not block this one forever. The DDL itself may take longer than any
    // statement of normal operation.
    client
        .batch_execute("SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = '60s'")
        .await
        .during("lifting the timeouts of the build")?;
    client
        .execute("SELECT pg_advisory_xact_lock($1::int8)", &[&APPLY_LOCK])
        .await
        .map_err(|error| ProvisionError::waiting(StoreError::from(error)))?;
    match state(client, schema).await? {
        SchemaState::Current => return Ok(Applied::AlreadyCurrent),
        SchemaState::Outdated { missing } => {
            upgrade::add_missing(client).await.map_err(|source| ProvisionError::Upgrade { missing, source })?;
            return Ok(Applied::Upgraded);
        }
        SchemaState::Empty => {}
        SchemaState::Other { found } => {
            return Err(ProvisionError::OtherSchema { found, wanted: schema.hash.clone() });
        }
        SchemaState::Damaged { reason } => return Err(ProvisionError::Damaged { reason }),
    }
    facts.check_privileges(database.options())?;
    let script = script(schema, resource_ddl);
    facts.check_locks(locks_needed(&script))?;
    server::drop_orphaned_publication(client).await?;
    client.batch_execute(&script).await.map_err(|error| ProvisionError::ddl(&script, error))?;
    if facts.wal_level != "logical" {
        tracing::warn!(wal_level = facts.wal_level, "changes can be followed only with wal_level = logical");
    }
    Ok(Applied::Created)
}

async fn state(client: &Client, schema: &EffectiveSchema) -> Result<SchemaState, StoreError> {
    let Some(found) = effective_schema::fingerprint(client).await? else {
        return Ok(match fingerprint::foreign_relation(client).await? {
            None => SchemaState::Empty,
            Some(name) => SchemaState::Damaged {
                reason: format!(
                    "schema \"dms\" holds {name} but no fingerprint: it was not made by Millstream, or only in part"
                ),
            },
        });
    };
    if found.effective_schema_hash != schema.hash {
        return Ok(SchemaState::Other { found: found.effective_schema_hash });
    }
    Ok(match fingerprint::difference(client, &found, schema).await? {
        None => match upgrade::missing(client).await? {
            missing if missing.is_empty() => SchemaState::Current,
            missing => SchemaState::Outdated { missing },
        },
        Some(reason) => SchemaState::Damaged { reason },
    })
}
