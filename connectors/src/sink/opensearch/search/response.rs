//! From the node's answer to a page.

use std::collections::BTreeMap;

use bytes::Bytes;
use millstream_search::{Hit, SearchPage, SearchQuery};
use serde::Deserialize;
use uuid::Uuid;

use super::super::fetch::Source;
use super::facet::{self, Counted};

/// An answer that was read.
#[derive(Deserialize)]
pub(super) struct Answer<'a> {
    #[serde(rename = "_shards")]
    shards: Shards,
    #[serde(borrow)]
    hits: Hits<'a>,
    #[serde(default)]
    aggregations: BTreeMap<String, Counted>,
}

#[derive(Deserialize)]
struct Shards {
    total: u64,
    #[serde(default)]
    failed: u64,
}

#[derive(Deserialize)]
struct Hits<'a> {
    #[serde(borrow)]
    hits: Vec<Found<'a>>,
}

#[derive(Deserialize)]
struct Found<'a> {
    #[serde(rename = "_id")]
    id: Uuid,
    #[serde(rename = "_version")]
    version: i64,
    #[serde(borrow, rename = "_source")]
    source: Source<'a>,
}

impl<'a> Answer<'a> {
    pub(super) fn read(body: &'a [u8]) -> Result<Self, String> {
        serde_json::from_slice(body).map_err(|error| format!("its answer cannot be read: {error}"))
    }

    /// Whether there was an index to ask.
    pub(super) fn has_index(&self) -> bool {
        self.shards.total > 0
    }

    pub(super) fn page(self, query: &SearchQuery) -> Result<SearchPage, String> {
        if self.shards.failed > 0 {
            return Err(format!("{} of {} shards failed", self.shards.failed, self.shards.total));
        }
        let mut page = SearchPage::default();
        let limit = query.limit as usize;
        let has_more = self.hits.hits.len() > limit;
        let hits = self.hits.hits.into_iter().take(limit).map(|found| Hit {
            uuid: found.id,
            version: found.version,
            body: Bytes::copy_from_slice(found.source.document.get().as_bytes()),
        });
        page.documents = hits.collect();
        if let Some(last) = page.documents.last().filter(|_| has_more) {
            let cursor = query.cursor_after(last);
            page.next =
                cursor.map_err(|error| format!("it holds a document {} that is no JSON: {error}", last.uuid))?;
        }
        facet::read(query, &self.aggregations, &mut page)?;
        Ok(page)
    }
}
