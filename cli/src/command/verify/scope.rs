//! The documents that `millstream verify` covers, from its flags.

use crate::{compiled::Compiled, control::protocol::ProveOnly, failure::Failure};
use millstream_store::{connect::Database, verify::Scope};
use uuid::Uuid;

/// The documents to verify.
#[derive(Debug, Clone, Default)]
pub enum Selected {
    /// All.
    #[default]
    All,
    /// These.
    Documents(Vec<Uuid>),
    /// Those of one type, named as in the URL.
    Resource(String),
    /// So many, drawn at random.
    Sample(u32),
}

impl Selected {
    /// Resolves the selection: looks the type up, draws the sample.
    pub(super) async fn resolve(&self, database: &Database, compiled: &Compiled) -> Result<Scope, Failure> {
        match self {
            Self::All => Ok(Scope::All),
            Self::Documents(documents) => Ok(Scope::Documents(documents.clone())),
            Self::Sample(count) => Scope::sample(database, *count).await.map_err(Failure::failed),
            Self::Resource(name) => {
                let route = name.split_once('/').and_then(|(project, of)| compiled.mapping.route(project, of));
                let resource = route.ok_or_else(|| {
                    Failure::usage(format!(
                        "--resource {name}: unknown type; name it as in the URL, like ed-fi/students"
                    ))
                })?;
                Ok(Scope::Resource(compiled.mapping.resource(resource).key))
            }
        }
    }
}

/// Returns the restriction of the comparison of sinks that goes with a scope.
pub(super) fn restriction(scope: &Scope) -> Option<ProveOnly> {
    match scope {
        Scope::All => None,
        Scope::Resource(key) => Some(ProveOnly::Resource(*key)),
        Scope::Documents(documents) => Some(ProveOnly::Documents(documents.clone())),
    }
}
