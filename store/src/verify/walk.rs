//! A pass over the documents of a scope, one snapshot after another, within a number of bytes.

use super::range::{Range, RangePart, difference};
use super::report::{DifferenceKind, Report};
use super::scope::Scope;
use super::{VerifyOptions, check_range};
use crate::compose::DeferredDocument;
use crate::connect::GenericClient;
use crate::connect::{Database, milliseconds};
use crate::error::StoreError;
use crate::load::{DocumentHead, heads_after, heads_by_uuid};
use crate::table::document::heads_of_type_after;
use millstream_schema::plan::{Mapping, ResourceKeyId};
use std::collections::{HashSet, VecDeque};
use uuid::Uuid;

/// Most bytes of rows in a range, and of cached bodies that are compared with it at once.
const RANGE_BYTES: usize = 16 << 20;

/// A range takes its rows, the bodies composed from them, and the cached bodies that they are compared with.
const COPIES: usize = 3;

/// The documents of a [`Scope`] that are still to be checked.
#[derive(Debug)]
pub struct Walk(Rest);

#[derive(Debug)]
enum Rest {
    /// The documents after this DocumentId, of one type or of all.
    After { document_id: i64, key: Option<ResourceKeyId> },
    /// These.
    Documents(VecDeque<Uuid>),
}

impl Walk {
    /// Begins with the first document of the scope.
    #[must_use]
    pub fn new(scope: &Scope) -> Self {
        Self(match scope {
            Scope::All => Rest::After { document_id: i64::MIN, key: None },
            Scope::Resource(key) => Rest::After { document_id: i64::MIN, key: Some(*key) },
            Scope::Documents(uuids) => Rest::Documents(uuids.iter().copied().collect()),
        })
    }

    /// Begins with the document after this DocumentId.
    #[must_use]
    pub fn after(document_id: i64) -> Self {
        Self(Rest::After { document_id, key: None })
    }

    /// Checks the next documents in one `REPEATABLE READ` snapshot: at most [`VerifyOptions::range_documents`], fewer if
    /// their rows would exceed the memory of a range. Returns their heads; empty if none is left.
    ///
    /// # Errors
    /// When the database fails, or when the memory budget is too small for any range.
    pub async fn next(
        &mut self,
        database: &Database,
        mapping: &Mapping,
        options: &VerifyOptions,
        report: &mut Report,
    ) -> Result<Vec<DocumentHead>, StoreError> {
        let (mut documents, mut bytes_max) = (options.range_documents.max(1), options.memory.portion(RANGE_BYTES));
        let mut oversized: Option<DeferredDocument> = None;
        loop {
            // Memory is reserved before the connection is taken, as everywhere.
            let _reserved = match (options.memory.reserve(bytes_max.saturating_mul(COPIES)).await, oversized) {
                (Ok(reserved), _) => reserved,
                (Err(over), Some(DeferredDocument { head, .. })) => {
                    let expected = "a body".to_owned();
                    report.add(DifferenceKind::Uncomposable, difference(mapping, &head, expected, over.to_string()));
                    self.pass(std::slice::from_ref(&head));
                    return Ok(vec![head]);
                }
                (Err(over), None) => {
                    return Err(StoreError::other(format!("a range of documents cannot be read: {over}")));
                }
            };
            let mut client = database.get().await?;
            let snapshot = client.snapshot().await?;
            if let Some(timeout) = options.statement_timeout {
                snapshot.batch_execute(&format!("SET LOCAL statement_timeout = {}", milliseconds(timeout))).await?;
            }
            let heads = self.heads(&snapshot, documents).await?;
            if heads.is_empty() {
                snapshot.commit().await?;
                return Ok(heads);
            }
            match Range::load(&snapshot, mapping, heads, bytes_max).await? {
                RangePart::Leading(range) => {
                    let checked: Vec<DocumentHead> =
                        range.ids.iter().filter_map(|id| range.heads.get(id).cloned()).collect();
                    check_range(&snapshot, range, bytes_max, report).await?;
                    snapshot.commit().await?;
                    self.pass(&checked);
                    return Ok(checked);
                }
                RangePart::Oversized(document) => {
                    snapshot.commit().await?;
                    (documents, bytes_max) = (1, document.bytes.max(bytes_max + 1));
                    oversized = Some(document);
                }
            }
        }
    }

    /// Reads the heads of the next documents. Ids of documents that do not exist are dropped.
    async fn heads<C: GenericClient>(&mut self, client: &C, limit: u32) -> Result<Vec<DocumentHead>, StoreError> {
        match &mut self.0 {
            Rest::After { document_id, key: None } => heads_after(client, *document_id, limit).await,
            Rest::After { document_id, key: Some(key) } => heads_of_type_after(client, *document_id, limit, *key).await,
            Rest::Documents(uuids) => {
                while !uuids.is_empty() {
                    let count = uuids.len().min(limit as usize);
                    let asked: Vec<Uuid> = uuids.iter().take(count).copied().collect();
                    let heads = heads_by_uuid(client, &asked).await?;
                    if !heads.is_empty() {
                        return Ok(heads);
                    }
                    uuids.drain(..count);
                }
                Ok(Vec::new())
            }
        }
    }

    /// Goes past these documents.
    fn pass(&mut self, checked: &[DocumentHead]) {
        match &mut self.0 {
            Rest::After { document_id, .. } => {
                *document_id = checked.last().map_or(*document_id, |head| head.document_id);
            }
            Rest::Documents(uuids) => {
                let checked: HashSet<Uuid> = checked.iter().map(|head| head.uuid).collect();
                uuids.retain(|uuid| !checked.contains(uuid));
            }
        }
    }
}
