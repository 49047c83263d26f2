//! Counting of a facet's values, with a bound on the distinct ones.

use tantivy::DocId;
use tantivy::columnar::StrColumn;

use std::collections::{BTreeMap, HashMap};

/// Maximum distinct values of one facet among the matching documents. Facets are lists to choose from; counting every value
/// of a field such as a person's id would take memory and time in proportion to the index.
pub(super) const DISTINCT_VALUES_MAX: usize = 10_000;

/// Number of documents by encoded value.
pub(super) type ValueCounts = BTreeMap<String, u64>;

/// The facet has more than [`DISTINCT_VALUES_MAX`] values.
pub(super) struct TooManyValues;

/// Counts the values of one facet in one segment.
pub(super) struct FacetCounter {
    column: Option<StrColumn>,
    /// Documents by ordinal of the value.
    counts: HashMap<u64, u64>,
}

impl FacetCounter {
    pub(super) fn new(column: Option<StrColumn>) -> Self {
        Self { column, counts: HashMap::new() }
    }

    pub(super) fn count(&mut self, doc: DocId) {
        for ord in self.column.iter().flat_map(|column| column.term_ords(doc)) {
            *self.counts.entry(ord).or_default() += 1;
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.counts.len() > DISTINCT_VALUES_MAX
    }

    pub(super) fn values(&self) -> tantivy::Result<ValueCounts> {
        let mut values = ValueCounts::new();
        if let Some(column) = &self.column {
            for (ord, documents) in &self.counts {
                let mut text = String::new();
                column.ord_to_str(*ord, &mut text)?;
                values.insert(text, *documents);
            }
        }
        Ok(values)
    }
}

/// Adds the counts of a segment to those of others.
pub(super) fn merge(all: &mut ValueCounts, counts: ValueCounts) -> Result<(), TooManyValues> {
    for (value, documents) in counts {
        *all.entry(value).or_default() += documents;
    }
    if all.len() > DISTINCT_VALUES_MAX { Err(TooManyValues) } else { Ok(()) }
}
