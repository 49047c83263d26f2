//! Conversion of a search response to a page.

use std::collections::BTreeMap;

use bytes::Bytes;
use millstream_search::{Hit, SearchPage, SearchQuery};
use serde::Deserialize;

use super::super::client::InvalidResponse;
use super::super::fetch::StoredHits;
use super::facet::{self, AggregationResult};

/// A parsed search response.
#[derive(Deserialize)]
pub(super) struct SearchResponse<'a> {
    #[serde(rename = "_shards")]
    shards: ShardCounts,
    #[serde(borrow)]
    hits: StoredHits<'a>,
    #[serde(default)]
    aggregations: BTreeMap<String, AggregationResult>,
}

#[derive(Deserialize)]
struct ShardCounts {
    total: u64,
    #[serde(default)]
    failed: u64,
}

impl<'a> SearchResponse<'a> {
    pub(super) fn read(body: &'a [u8]) -> Result<Self, InvalidResponse> {
        serde_json::from_slice(body).map_err(|error| InvalidResponse(format!("its response cannot be parsed: {error}")))
    }

    /// Returns whether the index exists: a search of a missing index has no shards.
    pub(super) fn has_index(&self) -> bool {
        self.shards.total > 0
    }

    /// Returns the page of up to `limit` documents.
    pub(super) fn page(self, query: &SearchQuery, limit: u32) -> Result<SearchPage, InvalidResponse> {
        if self.shards.failed > 0 {
            return Err(format!("{} of {} shards failed", self.shards.failed, self.shards.total).into());
        }
        let mut page = SearchPage::default();
        let limit = limit as usize;
        let has_more = self.hits.hits.len() > limit;
        let hits = self.hits.hits.into_iter().take(limit).map(|found| Hit {
            uuid: found.id,
            version: found.version,
            body: Bytes::copy_from_slice(found.source.document.get().as_bytes()),
        });
        page.documents = hits.collect();
        if let Some(last) = page.documents.last().filter(|_| has_more) {
            let cursor = query.cursor_after(last);
            page.next = cursor.map_err(|error| format!("its document {} is not JSON: {error}", last.uuid))?;
        }
        facet::read(query, &self.aggregations, &mut page)?;
        Ok(page)
    }
}
