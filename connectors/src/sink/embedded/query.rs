//! Translation of a typed query to an index query.

use super::encoding::{NameDigest, ResourceKeys, TermMatch};
use super::layout::Layout;
use super::parent_query::ParentQuery;
use millstream_search::{Condition, Group, SearchQuery};
use std::ops::Bound;
use tantivy::Term;
use tantivy::query::{BooleanQuery, ConstScoreQuery, EmptyQuery, Query, RangeQuery, TermQuery};
use tantivy::schema::IndexRecordOption;

/// Returns the index query for the matching documents. Only free text contributes to the score.
pub(super) fn documents(layout: &Layout, keys: &ResourceKeys, query: &SearchQuery) -> Box<dyn Query> {
    let translator = QueryTranslator { layout, keys };
    let mut filters = vec![translator.level(keys.document)];
    filters.extend(translator.clauses(&query.conditions));
    let filter: Box<dyn Query> = Box::new(ConstScoreQuery::new(Box::new(BooleanQuery::intersection(filters)), 0.0));
    let words = query.terms.iter().map(|term| -> Box<dyn Query> {
        Box::new(TermQuery::new(Term::from_field_text(layout.text, term), IndexRecordOption::WithFreqs))
    });
    Box::new(BooleanQuery::intersection(words.chain([filter]).collect()))
}

struct QueryTranslator<'a> {
    layout: &'a Layout,
    keys: &'a ResourceKeys,
}

impl QueryTranslator<'_> {
    /// Matches all entries of a kind.
    fn level(&self, kind: NameDigest) -> Box<dyn Query> {
        Box::new(TermQuery::new(Term::from_field_bytes(self.layout.kind, &kind), IndexRecordOption::Basic))
    }

    /// Returns the conditions on an entry of a group's level.
    fn clauses(&self, group: &Group) -> Vec<Box<dyn Query>> {
        let mut clauses: Vec<Box<dyn Query>> = group.conditions.iter().map(|condition| self.any(condition)).collect();
        for inner in &group.inner {
            let mut within = self.clauses(inner);
            if within.is_empty() {
                within.push(self.level(self.keys.level(inner.collection)));
            }
            let within = Box::new(BooleanQuery::intersection(within));
            clauses.push(Box::new(ParentQuery::new(within, self.level(self.keys.level(group.collection)))));
        }
        clauses
    }

    fn any(&self, condition: &Condition) -> Box<dyn Query> {
        let mut tests: Vec<Box<dyn Query>> =
            condition.any_of.iter().map(|test| self.terms(self.keys.matching(test.field, &test.comparison))).collect();
        match tests.len() {
            0 => Box::new(EmptyQuery),
            1 => tests.remove(0),
            _ => Box::new(BooleanQuery::union(tests)),
        }
    }

    fn terms(&self, terms: TermMatch) -> Box<dyn Query> {
        let term = |bytes: Vec<u8>| Term::from_field_bytes(self.layout.exact, &bytes);
        let bound = |bound: Bound<Vec<u8>>| bound.map(term);
        match terms {
            TermMatch::One(bytes) => Box::new(TermQuery::new(term(bytes), IndexRecordOption::Basic)),
            TermMatch::Range(lower, upper) => Box::new(RangeQuery::new(bound(lower), bound(upper))),
        }
    }
}
