//! Resolution: ReferentialIds and public ids to documents, in one statement however many there are.
//!
//! It reads `dms.ReferentialIdentity`, `dms.Descriptor` and `dms.Document`.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use millstream_schema::plan::ResourceKeyId;
use uuid::Uuid;

use super::query::{expanded, row_struct};
use crate::transaction::pipeline::{Pipeline, StatementRef, params};

/// One snapshot: referenced documents and descriptors (`$1`), the document that has the body's own identity (`$2`), and
/// the document of the route (`$3`).
///
/// Written so that PostgreSQL plans it once per session, and well even if it plans on empty tables. Arrays stand in
/// sub-selects, which hide their lengths: a plan for these very ids would look slightly cheaper than the generic one
/// every time, and planning takes twenty times as long as running. No part is a join that could become a hash join:
/// planned on empty tables, it would read whole tables until they are analysed.
static RESOLVE: LazyLock<String> = expanded!("resolution.sql");

row_struct! {
    /// A document that a resolution found. A row with a `uuid` is the write's own document, all others are referenced.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct ResolutionRow {
        /// The ReferentialId by which, or under which, the document was found.
        pub referential_id: Uuid = "ReferentialId",
        /// The document.
        pub document_id: i64 = "DocumentId",
        /// Its resource type; of a referenced document the abstract type if it was found under that.
        pub key: ResourceKeyId = "ResourceKeyId",
        /// Its identity, in `identityJsonPaths` order.
        pub identity_values: Vec<String> = "IdentityValues",
        /// The URI of a referenced descriptor.
        pub uri: Option<String> = "Uri",
        /// Own document: its public id.
        pub uuid: Option<Uuid> = "DocumentUuid",
        /// Own document: its effective version.
        pub effective_version: Option<i64> = "EffectiveVersion",
        /// Own document: the hash of its rows.
        pub content_hash: Option<Vec<u8>> = "ContentHash",
    }
}

/// The document that a write is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// The one with this ReferentialId (POST).
    Identity(Uuid),
    /// The one with this public id (PUT, DELETE).
    Uuid(Uuid),
}

/// Adds the resolution of referenced documents and of the subjects of one or more writes. Each id is asked for once.
pub fn resolve(
    pipeline: &mut Pipeline<'_>,
    referential_ids: impl IntoIterator<Item = Uuid>,
    subjects: impl IntoIterator<Item = Subject>,
) -> StatementRef<ResolutionRow> {
    let referential_ids: BTreeSet<Uuid> = referential_ids.into_iter().collect();
    let (mut identities, mut uuids) = (Vec::new(), Vec::new());
    for subject in subjects {
        match subject {
            Subject::Identity(id) => identities.push(id),
            Subject::Uuid(uuid) => uuids.push(uuid),
        }
    }
    pipeline.add(RESOLVE.as_str(), params![Vec::from_iter(referential_ids), identities, uuids])
}
