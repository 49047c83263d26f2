//! The collector of a search: one pass over the matches yields the page, the total and the facets.
//!
//! Within a segment, documents are compared by ordinals in the sorted dictionaries of their columns; only the values of
//! the page are read. Memory is bounded by the page and by the distinct values of the facets, of which there is a maximum
//! (`facets`).

use super::encoding::{decode, encode};
use super::facets::{FacetCounter, TooManyValues, ValueCounts, merge};
use super::layout::{ID, VERSION, column};
use millstream_search::{FacetCount, FacetValues, SearchQuery, SortKey, Value};
use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::ops::Bound;
use tantivy::collector::{Collector, SegmentCollector};
use tantivy::columnar::{BytesColumn, Column, StrColumn};
use tantivy::query::Weight;
use tantivy::{
    COLLECT_BLOCK_BUFFER_LEN, DocAddress, DocId, DocSet, Score, SegmentOrdinal, SegmentReader, TERMINATED, TantivyError,
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// The result of a search.
pub(super) struct SearchMatches {
    /// Documents of the page in order, plus one if there are more.
    pub(super) documents: Vec<MatchedDocument>,
    /// Number of matches, independent of the page.
    pub(super) total: u64,
    /// Values of each facet.
    facets: Vec<ValueCounts>,
}

/// Why a search has no result.
#[derive(Debug)]
pub(super) enum CollectError {
    /// The index cannot be read.
    Index(TantivyError),
    /// The facet with this index in the query has too many distinct values.
    TooManyValues(usize),
    /// The client has gone.
    Stopped,
}

impl From<TantivyError> for CollectError {
    fn from(error: TantivyError) -> Self {
        Self::Index(error)
    }
}

/// A document of the page.
pub(super) struct MatchedDocument {
    pub(super) address: DocAddress,
    pub(super) uuid: Uuid,
    pub(super) version: i64,
    /// [`rank_of_score`] if the order is by relevance.
    relevance: Option<u64>,
    /// Encoded values of the sort fields.
    key: Vec<Option<String>>,
}

impl SearchMatches {
    /// Returns the query's facets.
    pub(super) fn facets(&self, query: &SearchQuery) -> Vec<FacetValues> {
        let facets = query.facets.iter().zip(&self.facets).map(|(facet, counts)| {
            let kind = query.resource.field(facet.field).kind;
            let values = counts
                .iter()
                .filter_map(|(text, documents)| Some(FacetCount { value: decode(kind, text)?, documents: *documents }));
            let mut values: Vec<FacetCount> = values.collect();
            // Stable sort: equal counts stay in the order of their values.
            values.sort_by_key(|count| std::cmp::Reverse(count.documents));
            values.truncate(usize::from(query.facet_values_max));
            FacetValues { name: facet.name.clone(), values }
        });
        facets.collect()
    }
}

/// Collects the page of a query.
pub(super) struct PageCollector {
    sort: Vec<SortColumn>,
    facets: Vec<String>,
    after: Option<SortKey>,
    documents_max: usize,
    by_relevance: bool,
    stop: CancellationToken,
}

/// A field of the sort.
#[derive(Clone)]
struct SortColumn {
    column: String,
    descending: bool,
}

impl PageCollector {
    /// Creates the collector of a query, which ends with an error soon after `stop` is raised.
    pub(super) fn of(query: &SearchQuery, stop: CancellationToken) -> Self {
        let path = |field| column(&query.resource.field(field).path);
        let sort = query.sort.iter().map(|sort| SortColumn { column: path(sort.field), descending: sort.descending });
        Self {
            sort: sort.collect(),
            facets: query.facets.iter().map(|facet| path(facet.field)).collect(),
            after: query.after.clone(),
            // One more shows whether there is a next page.
            documents_max: if query.limit == 0 { 0 } else { query.limit as usize + 1 },
            by_relevance: query.is_by_relevance(),
            stop,
        }
    }

    fn compare(&self, a: &MatchedDocument, b: &MatchedDocument) -> Ordering {
        if self.by_relevance {
            return a.relevance.cmp(&b.relevance).then(a.uuid.cmp(&b.uuid));
        }
        for ((order, a), b) in self.sort.iter().zip(&a.key).zip(&b.key) {
            let compared = match (a, b) {
                (Some(a), Some(b)) if order.descending => b.cmp(a),
                (Some(a), Some(b)) => a.cmp(b),
                (a, b) => b.is_some().cmp(&a.is_some()),
            };
            if compared.is_ne() {
                return compared;
            }
        }
        a.uuid.cmp(&b.uuid)
    }
}

impl Collector for PageCollector {
    type Fruit = Result<SearchMatches, CollectError>;
    type Child = PageSegmentCollector;

    fn for_segment(&self, ordinal: SegmentOrdinal, segment: &SegmentReader) -> tantivy::Result<PageSegmentCollector> {
        let columns = segment.fast_fields();
        let mut ranks = Vec::new();
        for (at, order) in self.sort.iter().enumerate() {
            let after = self.after.as_ref().and_then(|key| key.values.get(at));
            ranks.push(SortRanks::new(columns.str(&order.column)?, order.descending, after)?);
        }
        let ids = columns.bytes(ID)?.unwrap_or_else(|| BytesColumn::empty(segment.max_doc()));
        let mut after: Option<Vec<u64>> = self.after.as_ref().map(|_| ranks.iter().map(|ranks| ranks.after).collect());
        if let (Some(after), Some(key)) = (&mut after, &self.after) {
            after.push(rank_of(&ids, key.uuid.as_bytes())?);
        }
        let facets = self.facets.iter().map(|facet| Ok(FacetCounter::new(columns.str(facet)?)));
        Ok(PageSegmentCollector {
            ordinal,
            ids,
            versions: columns.i64(VERSION)?,
            ranks,
            after,
            facets: facets.collect::<tantivy::Result<_>>()?,
            documents_max: self.documents_max,
            by_relevance: self.by_relevance,
            best: BinaryHeap::new(),
            total: 0,
            rank: Vec::new(),
        })
    }

    fn requires_scoring(&self) -> bool {
        self.by_relevance
    }

    /// Like the default, but looks at the stop flag and at the facets between blocks of documents.
    fn collect_segment(
        &self,
        weight: &dyn Weight,
        ordinal: SegmentOrdinal,
        reader: &SegmentReader,
    ) -> tantivy::Result<Result<SearchMatches, CollectError>> {
        let mut segment = self.for_segment(ordinal, reader)?;
        let alive = reader.alive_bitset();
        let is_alive = |doc: &DocId| alive.is_none_or(|alive| alive.is_alive(*doc));
        let mut scorer = weight.scorer(reader, 1.0)?;
        let mut block = [0; COLLECT_BLOCK_BUFFER_LEN];
        loop {
            if self.stop.is_cancelled() {
                return Ok(Err(CollectError::Stopped));
            }
            if let Some(facet) = segment.facets.iter().position(FacetCounter::is_full) {
                return Ok(Err(CollectError::TooManyValues(facet)));
            }
            if self.by_relevance {
                for _ in 0..COLLECT_BLOCK_BUFFER_LEN {
                    let doc = scorer.doc();
                    if doc == TERMINATED {
                        return Ok(segment.harvest());
                    }
                    if is_alive(&doc) {
                        segment.collect(doc, scorer.score());
                    }
                    scorer.advance();
                }
                continue;
            }
            let count = scorer.fill_buffer(&mut block);
            block[..count].iter().copied().filter(is_alive).for_each(|doc| segment.collect(doc, 0.0));
            if count < block.len() {
                return Ok(segment.harvest());
            }
        }
    }

    fn merge_fruits(&self, segments: Vec<Result<SearchMatches, CollectError>>) -> tantivy::Result<Self::Fruit> {
        Ok(self.merge(segments))
    }
}

impl PageCollector {
    fn merge(&self, segments: Vec<Result<SearchMatches, CollectError>>) -> Result<SearchMatches, CollectError> {
        let mut found =
            SearchMatches { documents: Vec::new(), total: 0, facets: vec![ValueCounts::new(); self.facets.len()] };
        for segment in segments {
            let segment = segment?;
            found.total += segment.total;
            found.documents.extend(segment.documents);
            for (at, (all, counts)) in found.facets.iter_mut().zip(segment.facets).enumerate() {
                merge(all, counts).map_err(|TooManyValues| CollectError::TooManyValues(at))?;
            }
        }
        found.documents.sort_by(|a, b| self.compare(a, b));
        found.documents.truncate(self.documents_max);
        Ok(found)
    }
}

/// Returns the rank of a term in the dictionary of a column: odd for an existing term, even for the gap where it would
/// be.
fn rank_of(column: &BytesColumn, term: &[u8]) -> tantivy::Result<u64> {
    let dictionary = column.dictionary();
    if let Some(ord) = dictionary.term_ord(term)? {
        return Ok(ord * 2 + 1);
    }
    let (next, _) = dictionary.term_bounds_to_ord(Bound::Included(term), Bound::Unbounded)?;
    Ok(match next {
        Bound::Included(ord) | Bound::Excluded(ord) => ord.saturating_mul(2),
        Bound::Unbounded => 0,
    })
}

/// The column of one sort field, as ranks that ascend in the requested order.
struct SortRanks {
    column: Option<StrColumn>,
    descending: bool,
    /// Rank of the cursor's value.
    after: u64,
}

/// Rank of a missing value: last in both directions.
const MISSING: u64 = u64::MAX;

impl SortRanks {
    fn new(column: Option<StrColumn>, descending: bool, after: Option<&Option<Value>>) -> tantivy::Result<Self> {
        let mut ranks = Self { column, descending, after: MISSING };
        if let Some(Some(value)) = after {
            let rank = match &ranks.column {
                Some(column) => rank_of(&column.clone().into(), encode(value).as_bytes())?,
                None => 0,
            };
            ranks.after = ranks.directed(rank);
        }
        Ok(ranks)
    }

    fn directed(&self, rank: u64) -> u64 {
        let rank = rank.min(MISSING - 1);
        if self.descending { MISSING - 1 - rank } else { rank }
    }

    fn of(&self, doc: DocId) -> u64 {
        let ord = self.column.as_ref().and_then(|column| column.ords().first(doc));
        ord.map_or(MISSING, |ord| self.directed(ord * 2 + 1))
    }

    fn value(&self, doc: DocId) -> tantivy::Result<Option<String>> {
        let Some(column) = &self.column else { return Ok(None) };
        let Some(ord) = column.ords().first(doc) else { return Ok(None) };
        let mut text = String::new();
        column.ord_to_str(ord, &mut text)?;
        Ok(Some(text))
    }
}

/// The collector of one segment.
pub(super) struct PageSegmentCollector {
    ordinal: SegmentOrdinal,
    ids: BytesColumn,
    versions: Column<i64>,
    ranks: Vec<SortRanks>,
    after: Option<Vec<u64>>,
    facets: Vec<FacetCounter>,
    documents_max: usize,
    by_relevance: bool,
    /// The first documents so far, with the last of them on top.
    best: BinaryHeap<(Vec<u64>, DocId)>,
    total: u64,
    /// Rank of the current document.
    rank: Vec<u64>,
}

/// Converts a score to a rank with the best first. Scores are not negative, so their bits are in their order.
fn rank_of_score(score: Score) -> u64 {
    u64::from(u32::MAX - score.to_bits())
}

impl SegmentCollector for PageSegmentCollector {
    type Fruit = Result<SearchMatches, CollectError>;

    fn collect(&mut self, doc: DocId, score: Score) {
        self.total += 1;
        self.facets.iter_mut().for_each(|facet| facet.count(doc));
        if self.documents_max == 0 {
            return;
        }
        self.rank.clear();
        if self.by_relevance {
            self.rank.push(rank_of_score(score));
        }
        self.rank.extend(self.ranks.iter().map(|ranks| ranks.of(doc)));
        self.rank.push(self.ids.ords().first(doc).map_or(MISSING, |ord| ord * 2 + 1));
        if self.after.as_ref().is_some_and(|after| self.rank <= *after) {
            return;
        }
        if self.best.len() == self.documents_max {
            if self.best.peek().is_some_and(|(last, _)| *last <= self.rank) {
                return;
            }
            self.best.pop();
        }
        self.best.push((self.rank.clone(), doc));
    }

    fn harvest(self) -> Result<SearchMatches, CollectError> {
        if let Some(facet) = self.facets.iter().position(FacetCounter::is_full) {
            return Err(CollectError::TooManyValues(facet));
        }
        let mut documents = Vec::with_capacity(self.best.len());
        for (rank, doc) in self.best {
            let key = self.ranks.iter().map(|ranks| ranks.value(doc)).collect::<tantivy::Result<_>>()?;
            let missing = || TantivyError::InternalError("a document without an id or a version".to_owned());
            let mut id = Vec::new();
            let ord = self.ids.ords().first(doc).ok_or_else(missing)?;
            self.ids.ord_to_bytes(ord, &mut id).map_err(TantivyError::from)?;
            documents.push(MatchedDocument {
                address: DocAddress::new(self.ordinal, doc),
                uuid: Uuid::from_slice(&id).map_err(|_| missing())?,
                version: self.versions.first(doc).ok_or_else(missing)?,
                relevance: rank.first().copied().filter(|_| self.by_relevance),
                key,
            });
        }
        let facets = self.facets.iter().map(FacetCounter::values).collect::<tantivy::Result<_>>()?;
        Ok(SearchMatches { documents, total: self.total, facets })
    }
}
