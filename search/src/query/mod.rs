//! What a client may ask: typed, checked against the fields of the type, and free of any engine.
//!
//! # Conditions
//! All conditions of a query must hold. Those on fields in collections are grouped ([`Group`]): all that lie in one
//! collection must hold on **one** element of it, and those on a collection within it on one element of that very element.
//! Conditions on two collections side by side are independent.
//!
//! # Order
//! By the fields of [`SearchQuery::sort`], ties by id, ascending. A document without the field comes last in both
//! directions. Only fields outside of collections can be sorted by: a document has one value of those at most. Without a
//! sort the order is by relevance where [`SearchQuery::terms`] are given, else by id.

mod cursor;
mod error;
mod name;
mod parse;
mod projection;

pub use cursor::{Cursor, SortKey};
pub use error::ParameterError;
pub use parse::QueryOptions;
pub use projection::Projection;

use crate::model::{CollectionIx, FieldIx, SearchResource};
use crate::value::{Value, code_of};
use millstream_schema::referential::lower_uri;
use std::sync::Arc;

/// A query on the documents of one type.
#[derive(Debug, Clone)]
pub struct SearchQuery {
    /// The type, and what the fields mean.
    pub resource: Arc<SearchResource>,
    /// Free text, analysed ([`crate::text`]), each term once: every one must occur somewhere in the document's text.
    pub terms: Vec<String>,
    /// What else must hold.
    pub conditions: Group,
    /// Order of the answer.
    pub sort: Vec<Sort>,
    /// Values to count over all documents that match, whatever the page.
    pub facets: Vec<Facet>,
    /// Values a facet has at most.
    pub facet_values_max: u16,
    /// Documents to return at most. 0: only counts are wanted.
    pub limit: u32,
    /// Go on behind this.
    pub after: Option<SortKey>,
    /// Also count all that match.
    pub total_count: bool,
    /// The members to return; `None`: whole documents.
    pub projection: Option<Projection>,
}

/// Conditions that must hold together on the document, or on one element of a collection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Group {
    /// The collection; `None` for the document itself.
    pub collection: Option<CollectionIx>,
    /// Conditions on fields of this very element.
    pub conditions: Vec<Condition>,
    /// For each of them one element within this one must hold it. A collection stands here once at most.
    pub inner: Vec<Group>,
}

/// One parameter of a query: holds if any of its tests does. Empty: never holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Condition {
    /// Tests on fields of the group's own level.
    pub any_of: Vec<Test>,
}

/// A comparison of a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Test {
    /// The field.
    pub field: FieldIx,
    /// How its value compares.
    pub comparison: Comparison,
}

/// How a value must compare. A document without the value meets none of these.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Comparison {
    /// Equal.
    Equal(Value),
    /// A descriptor with this URI, which is in lower case.
    Uri(String),
    /// A descriptor with this code value, which is in lower case.
    Code(String),
    /// `:gt=`
    Above(Value),
    /// `:gte=`
    AtLeast(Value),
    /// `:lt=`
    Below(Value),
    /// `:lte=`
    AtMost(Value),
}

impl Comparison {
    /// A value of the field meets it.
    pub fn accepts(&self, value: &Value) -> bool {
        match (self, value) {
            (Self::Equal(wanted), value) => value == wanted,
            (Self::Uri(wanted), Value::Text(uri)) => lower_uri(uri) == *wanted,
            (Self::Code(wanted), Value::Text(uri)) => lower_uri(code_of(uri)) == *wanted,
            (Self::Uri(_) | Self::Code(_), _) => false,
            (Self::Above(bound), value) => value > bound,
            (Self::AtLeast(bound), value) => value >= bound,
            (Self::Below(bound), value) => value < bound,
            (Self::AtMost(bound), value) => value <= bound,
        }
    }
}

/// How a parameter compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operator {
    Equal,
    Above,
    AtLeast,
    Below,
    AtMost,
}

impl Operator {
    pub(crate) fn with(self, value: Value) -> Comparison {
        match self {
            Self::Equal => Comparison::Equal(value),
            Self::Above => Comparison::Above(value),
            Self::AtLeast => Comparison::AtLeast(value),
            Self::Below => Comparison::Below(value),
            Self::AtMost => Comparison::AtMost(value),
        }
    }
}

/// A field to order by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sort {
    /// The field, outside of all collections.
    pub field: FieldIx,
    /// Greatest first.
    pub descending: bool,
}

/// A field whose values are to be counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facet {
    /// The name that the client used.
    pub name: String,
    /// The field.
    pub field: FieldIx,
}

impl SearchQuery {
    /// All documents of a type, by id.
    pub fn all(resource: Arc<SearchResource>, limit: u32) -> Self {
        Self {
            resource,
            terms: Vec::new(),
            conditions: Group::default(),
            sort: Vec::new(),
            facets: Vec::new(),
            facet_values_max: 0,
            limit,
            after: None,
            total_count: false,
            projection: None,
        }
    }

    /// The order is by relevance: there is no cursor then.
    pub fn is_by_relevance(&self) -> bool {
        self.sort.is_empty() && !self.terms.is_empty()
    }
}

impl Group {
    /// Nothing is asked of this level or of those within.
    pub fn is_empty(&self) -> bool {
        self.conditions.is_empty() && self.inner.iter().all(Self::is_empty)
    }
}
