//! `dms.ReferenceEdge`: which document refers to which.

use std::collections::BTreeMap;

use crate::connect::GenericClient;
use millstream_schema::plan::ResourceKeyId;

use super::query::{query_cached, read_column, read_rows, row_struct, sql};
use crate::error::StoreError;
use crate::transaction::pipeline::{Pipeline, StatementRef, params};

const INSERT: &str = sql!("edge_insert.sql");
const UPDATE: &str = sql!("edge_update.sql");
const DELETE: &str = sql!("edge_delete.sql");
const CHILDREN: &str = sql!("edge_children.sql");
const IDENTITY_PARENTS: &str = sql!("edge_identity_parents.sql");
/// Reads no more parents per member than decide the matter, and by the index on children: a join with `LIMIT` invites a
/// walk over all edges in order of parents, which takes seconds where there are no referrers.
const REFERRERS: &str = sql!("edge_referrers.sql");
const REFERRED_MEMBERS: &str = sql!("edge_referred_members.sql");
const REFERRING_TYPES: &str = sql!("edge_referring_types.sql");
const ROWS: &str = sql!("edge_rows.sql");

/// How the reference set of one document changes: child → is identity component.
#[derive(Debug)]
pub struct EdgeChange<'a> {
    /// The referring document.
    pub parent: i64,
    /// As stored.
    pub old: &'a BTreeMap<i64, bool>,
    /// As it is to be.
    pub new: BTreeMap<i64, bool>,
}

/// Adds the differences between stored and new reference sets: at most one statement each for edges that go, come or
/// change. Adds nothing if there are none.
pub fn replace<'a>(pipeline: &mut Pipeline<'_>, changes: impl IntoIterator<Item = EdgeChange<'a>>) {
    let mut gone = (Vec::new(), Vec::new());
    let mut added = (Vec::new(), Vec::new(), Vec::new());
    let mut changed = (Vec::new(), Vec::new(), Vec::new());
    for EdgeChange { parent, old, new } in changes {
        for child in old.keys().filter(|child| !new.contains_key(child)) {
            gone.0.push(parent);
            gone.1.push(*child);
        }
        for (child, flag) in new {
            let to = match old.get(&child) {
                None => &mut added,
                Some(stored) if *stored != flag => &mut changed,
                Some(_) => continue,
            };
            to.0.push(parent);
            to.1.push(child);
            to.2.push(flag);
        }
    }
    if !gone.0.is_empty() {
        pipeline.execute(DELETE, params![gone.0, gone.1]);
    }
    for (sql, (parents, children, flags)) in [(INSERT, added), (UPDATE, changed)] {
        if !parents.is_empty() {
            pipeline.execute(sql, params![parents, children, flags]);
        }
    }
}

row_struct! {
    /// A reference of a document.
    #[derive(Debug, Clone, Copy)]
    pub struct ChildEdge {
        /// The referring document.
        pub parent: i64 = "ParentDocumentId",
        /// The document referred to.
        pub child: i64 = "ChildDocumentId",
        /// Whether the referring document's identity contains the child's.
        pub is_identity_component: bool = "IsIdentityComponent",
        /// Whether the child's identity can change.
        pub is_changeable: bool = "IsChangeable",
    }
}

/// Adds the references of these documents as they are now.
pub fn children(pipeline: &mut Pipeline<'_>, parents: Vec<i64>) -> StatementRef<ChildEdge> {
    pipeline.add(CHILDREN, params![parents])
}

row_struct! {
    /// A document that refers to another.
    #[derive(Debug, Clone, Copy)]
    pub struct ParentEdge {
        /// The referring document.
        pub parent: i64 = "ParentDocumentId",
    }
}

/// Adds the documents whose identity contains that of one of `children`, each once.
pub fn identity_parents(pipeline: &mut Pipeline<'_>, children: Vec<i64>) -> StatementRef<ParentEdge> {
    pipeline.add(IDENTITY_PARENTS, params![children])
}

/// Adds the referrers of a closure that are not its members, each once, ascending, at most `limit`.
pub fn referrers(pipeline: &mut Pipeline<'_>, closure: Vec<i64>, limit: i64) -> StatementRef<ParentEdge> {
    pipeline.add(REFERRERS, params![closure, limit])
}

row_struct! {
    /// A member of a closure that has a referrer outside it.
    #[derive(Debug, Clone, Copy)]
    pub struct ReferredMember {
        /// The member.
        pub child: i64 = "ChildDocumentId",
    }
}

/// Adds the members of a closure that have at least one referrer outside it.
pub fn referred_members(pipeline: &mut Pipeline<'_>, closure: Vec<i64>) -> StatementRef<ReferredMember> {
    pipeline.add(REFERRED_MEMBERS, params![closure])
}

/// Reads the names of the resource types with a document that refers to this one, in order, each project's once.
pub async fn referring_types<C: GenericClient>(client: &C, child: i64) -> Result<Vec<String>, StoreError> {
    read_column(&client.query(REFERRING_TYPES, &[&child]).await?, "ResourceName")
}

row_struct! {
    /// An edge and the type of its child.
    #[derive(Debug, Clone, Copy)]
    pub struct StoredEdge {
        /// The referring document.
        pub parent: i64 = "ParentDocumentId",
        /// The document referred to.
        pub child: i64 = "ChildDocumentId",
        /// Whether the parent's identity contains the child's.
        pub is_identity_component: bool = "IsIdentityComponent",
        /// The child's resource type; `None` if the document does not exist.
        pub child_key: Option<ResourceKeyId> = "ResourceKeyId",
    }
}

/// Reads all edges of these documents.
pub async fn rows<C: GenericClient>(client: &C, parents: &[i64]) -> Result<Vec<StoredEdge>, StoreError> {
    read_rows(&query_cached(client, ROWS, &[&parents]).await?)
}
