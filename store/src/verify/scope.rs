//! The documents that an audit covers.

use crate::connect::Database;
use crate::error::StoreError;
use crate::table::document::sample;
use millstream_schema::plan::ResourceKeyId;
use std::collections::BTreeSet;
use uuid::Uuid;

/// Draws that may come to nothing new before a sample is taken as complete.
const IDLE_DRAWS_MAX: u32 = 8;

/// The documents that an audit covers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Scope {
    /// All documents, and rows that belong to none.
    #[default]
    All,
    /// The documents of one type.
    Resource(ResourceKeyId),
    /// The documents with these public ids; those that do not exist are left out.
    Documents(Vec<Uuid>),
}

impl Scope {
    /// Draws up to `count` different documents at random.
    pub async fn sample(database: &Database, count: u32) -> Result<Self, StoreError> {
        let client = database.get().await?;
        let mut drawn = BTreeSet::new();
        let mut idle = 0;
        while drawn.len() < count as usize && idle < IDLE_DRAWS_MAX {
            let before = drawn.len();
            let missing = (count as usize - before) as u32;
            drawn.extend(sample(&client, missing).await?);
            idle = if drawn.len() == before { idle + 1 } else { 0 };
        }
        Ok(Self::Documents(drawn.into_iter().collect()))
    }
}
