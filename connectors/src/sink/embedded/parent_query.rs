//! From the elements of a collection to what they lie in.
//!
//! The entries of a block stand in such an order that an element is followed by what it lies in, before anything else of
//! that kind: so the next entry of the level around it is the one that it belongs to.

use std::fmt;
use tantivy::query::{ConstScorer, EnableScoring, Explanation, Query, Scorer, Weight};
use tantivy::{DocId, DocSet, Score, SegmentReader, TERMINATED};

/// Entries of a level that have an element within which a query holds.
pub(super) struct Around {
    /// Holds for elements.
    inner: Box<dyn Query>,
    /// All entries of the level around.
    level: Box<dyn Query>,
}

impl Around {
    pub(super) fn new(inner: Box<dyn Query>, level: Box<dyn Query>) -> Self {
        Self { inner, level }
    }
}

impl Clone for Around {
    fn clone(&self) -> Self {
        Self { inner: self.inner.box_clone(), level: self.level.box_clone() }
    }
}

impl fmt::Debug for Around {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Around(inner={:?}, level={:?})", self.inner, self.level)
    }
}

impl Query for Around {
    fn weight(&self, scoring: EnableScoring<'_>) -> tantivy::Result<Box<dyn Weight>> {
        let unscored = || match scoring.searcher() {
            Some(searcher) => EnableScoring::disabled_from_searcher(searcher),
            None => EnableScoring::disabled_from_schema(scoring.schema()),
        };
        let (inner, level) = (self.inner.weight(unscored())?, self.level.weight(unscored())?);
        Ok(Box::new(AroundWeight { inner, level }))
    }
}

struct AroundWeight {
    inner: Box<dyn Weight>,
    level: Box<dyn Weight>,
}

impl Weight for AroundWeight {
    fn scorer(&self, reader: &SegmentReader, _: Score) -> tantivy::Result<Box<dyn Scorer>> {
        let docs = AroundDocs::new(self.inner.scorer(reader, 1.0)?, self.level.scorer(reader, 1.0)?);
        Ok(Box::new(ConstScorer::new(docs, 1.0)))
    }

    fn explain(&self, _: &SegmentReader, _: DocId) -> tantivy::Result<Explanation> {
        Ok(Explanation::new("an element within meets the query", 1.0))
    }
}

struct AroundDocs<I, L> {
    inner: I,
    level: L,
    doc: DocId,
}

impl<I: DocSet, L: DocSet> AroundDocs<I, L> {
    fn new(inner: I, level: L) -> Self {
        let mut docs = Self { inner, level, doc: TERMINATED };
        docs.settle();
        docs
    }

    /// Moves to what the current element lies in.
    fn settle(&mut self) -> DocId {
        let element = self.inner.doc();
        self.doc = match self.level.doc() {
            _ if element == TERMINATED => TERMINATED,
            level if level < element => self.level.seek(element),
            level => level,
        };
        self.doc
    }
}

impl<I: DocSet, L: DocSet> DocSet for AroundDocs<I, L> {
    fn advance(&mut self) -> DocId {
        if self.doc == TERMINATED {
            return TERMINATED;
        }
        // The other elements of the same block are passed over.
        if self.inner.doc() < self.doc {
            self.inner.seek(self.doc);
        }
        self.settle()
    }

    fn doc(&self) -> DocId {
        self.doc
    }

    fn size_hint(&self) -> u32 {
        self.inner.size_hint().min(self.level.size_hint())
    }
}
