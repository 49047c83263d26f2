//! The parts of a query.

use super::projection::Projection;
use crate::model::{CollectionIx, FieldIx, SearchResource};
use crate::value::{Value, code_of};
use millstream_schema::referential::lower_uri;
use std::sync::Arc;
use uuid::Uuid;

/// A query on the documents of one type.
#[derive(Debug, Clone)]
pub struct SearchQuery {
    /// The type with its fields.
    pub resource: Arc<SearchResource>,
    /// Analyzed free text ([`crate::text`]) without repeats: every term must occur somewhere in the document's text.
    pub terms: Vec<String>,
    /// Conditions that must hold.
    pub conditions: Group,
    /// Order of the results.
    pub sort: Vec<Sort>,
    /// Fields whose values are counted over all matching documents, independent of the page.
    pub facets: Vec<Facet>,
    /// Maximum values per facet.
    pub facet_values_max: u16,
    /// Maximum documents to return; 0 returns counts only.
    pub limit: u32,
    /// Return documents after this key.
    pub after: Option<SortKey>,
    /// Also count all matching documents.
    pub total_count: bool,
    /// The members to return; `None` returns whole documents.
    pub projection: Option<Projection>,
}

/// Conditions that must hold together on the document, or on one element of a collection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Group {
    /// The collection; `None` for the document itself.
    pub collection: Option<CollectionIx>,
    /// Conditions on fields of this element.
    pub conditions: Vec<Condition>,
    /// Groups that must each hold on one inner element. At most one group per collection.
    pub inner: Vec<Group>,
}

/// One parameter of a query. Holds if any of its tests does; an empty one never holds.
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
    /// The comparison of its value.
    pub comparison: Comparison,
}

/// A comparison with a value. A document without the value meets no comparison.
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
    /// Returns whether a value of the field meets the comparison.
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

/// The operator of a parameter.
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

/// A sort field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sort {
    /// The field, outside collections.
    pub field: FieldIx,
    /// Greatest value first.
    pub descending: bool,
}

/// A field whose values are counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facet {
    /// The name that the client used.
    pub name: String,
    /// The field.
    pub field: FieldIx,
}

impl SearchQuery {
    /// Returns the query for all documents of a type, by id.
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

    /// Returns whether the order is by relevance, which has no cursor.
    pub fn is_by_relevance(&self) -> bool {
        self.sort.is_empty() && !self.terms.is_empty()
    }
}

impl Group {
    /// Returns whether neither this group nor an inner one has conditions.
    pub fn is_empty(&self) -> bool {
        self.conditions.is_empty() && self.inner.iter().all(Self::is_empty)
    }
}

/// A document's place in the order of a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SortKey {
    /// Its value of each sort field; `None` if it has none, which sorts last in both directions.
    pub values: Vec<Option<Value>>,
    /// Its id, which breaks ties in ascending order.
    pub uuid: Uuid,
}
