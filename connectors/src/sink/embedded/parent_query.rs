//! The query from the elements of a collection to their parents.
//!
//! In a block every element comes before its parent, with no other entry of the parent's kind in between. So the next
//! entry of the parent level is the parent.

use std::fmt;
use tantivy::query::{ConstScorer, EnableScoring, Explanation, Query, Scorer, Weight};
use tantivy::{DocId, DocSet, Score, SegmentReader, TERMINATED};

/// Matches entries of a level that contain an element matching a query.
pub(super) struct ParentQuery {
    /// Matches elements.
    inner: Box<dyn Query>,
    /// Matches all entries of the parent level.
    level: Box<dyn Query>,
}

impl ParentQuery {
    pub(super) fn new(inner: Box<dyn Query>, level: Box<dyn Query>) -> Self {
        Self { inner, level }
    }
}

impl Clone for ParentQuery {
    fn clone(&self) -> Self {
        Self { inner: self.inner.box_clone(), level: self.level.box_clone() }
    }
}

impl fmt::Debug for ParentQuery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ParentQuery(inner={:?}, level={:?})", self.inner, self.level)
    }
}

impl Query for ParentQuery {
    fn weight(&self, scoring: EnableScoring<'_>) -> tantivy::Result<Box<dyn Weight>> {
        let unscored = || match scoring.searcher() {
            Some(searcher) => EnableScoring::disabled_from_searcher(searcher),
            None => EnableScoring::disabled_from_schema(scoring.schema()),
        };
        let (inner, level) = (self.inner.weight(unscored())?, self.level.weight(unscored())?);
        Ok(Box::new(ParentWeight { inner, level }))
    }
}

struct ParentWeight {
    inner: Box<dyn Weight>,
    level: Box<dyn Weight>,
}

impl Weight for ParentWeight {
    fn scorer(&self, reader: &SegmentReader, _: Score) -> tantivy::Result<Box<dyn Scorer>> {
        let docs = ParentDocs::new(self.inner.scorer(reader, 1.0)?, self.level.scorer(reader, 1.0)?);
        Ok(Box::new(ConstScorer::new(docs, 1.0)))
    }

    fn explain(&self, _: &SegmentReader, _: DocId) -> tantivy::Result<Explanation> {
        Ok(Explanation::new("an inner element matches the query", 1.0))
    }
}

struct ParentDocs<I, L> {
    inner: I,
    level: L,
    doc: DocId,
}

impl<I: DocSet, L: DocSet> ParentDocs<I, L> {
    fn new(inner: I, level: L) -> Self {
        let mut docs = Self { inner, level, doc: TERMINATED };
        docs.seek_parent();
        docs
    }

    /// Moves to the parent of the current element.
    fn seek_parent(&mut self) -> DocId {
        let element = self.inner.doc();
        self.doc = match self.level.doc() {
            _ if element == TERMINATED => TERMINATED,
            level if level < element => self.level.seek(element),
            level => level,
        };
        self.doc
    }
}

impl<I: DocSet, L: DocSet> DocSet for ParentDocs<I, L> {
    fn advance(&mut self) -> DocId {
        if self.doc == TERMINATED {
            return TERMINATED;
        }
        // Skips the other elements of the same parent.
        if self.inner.doc() < self.doc {
            self.inner.seek(self.doc);
        }
        self.seek_parent()
    }

    fn doc(&self) -> DocId {
        self.doc
    }

    fn size_hint(&self) -> u32 {
        self.inner.size_hint().min(self.level.size_hint())
    }
}
