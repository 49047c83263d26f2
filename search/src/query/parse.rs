//! Parsing of query parameters into a query.
//!
//! | parameter | meaning |
//! |---|---|
//! | `q=words` | every word occurs somewhere in the document's text |
//! | `name=value` | equal; `name` is a query field (any of its fields) or a dotted path, ignoring case |
//! | `name:gt=`, `:gte=`, `:lt=`, `:lte=` | a range; texts compare by bytes |
//! | `sort=a,-b` | ascending by a, then descending by b |
//! | `facet=a,b`, `facetLimit=n` | the most frequent values of these fields (10, at most 100) |
//! | `fields=a,b.c` | return only these members, and `id` |
//! | `limit=n`, `cursor=text` | a page |
//! | `totalCount=true` | count all that match |
//!
//! Names of parameters are case-sensitive, names of fields are not. All problems are reported at once.

use super::condition::{ParsedCondition, parse_condition};
use super::error::ParameterError;
use super::name::{condition_fields, single_field, split_operator, unordered};
use super::projection::Projection;
use super::types::{Condition, Facet, Group, Operator, SearchQuery, Sort, Test};
use crate::model::{CollectionIx, ID, SearchResource};
use crate::text::query_terms;
use std::sync::Arc;

/// Maximum terms of `q`.
const TERMS_MAX: usize = 32;
/// Maximum conditions of a query.
const CONDITIONS_MAX: usize = 64;
/// Maximum fields of a sort.
const SORTS_MAX: usize = 8;
/// Maximum facets of a query.
const FACETS_MAX: usize = 16;
/// Maximum names in `fields`.
const FIELDS_MAX: usize = 200;
/// Values of a facet without `facetLimit`.
const FACET_VALUES_DEFAULT: u16 = 10;
/// Maximum values of a facet.
const FACET_VALUES_MAX: u16 = 100;

/// Limits of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueryOptions {
    /// Documents of a page without `limit`.
    pub limit_default: u32,
    /// Maximum documents of a page.
    pub limit_max: u32,
}

impl SearchQuery {
    /// Parses the decoded parameters of a search.
    ///
    /// # Errors
    /// Every invalid parameter, with the expected form.
    pub fn parse(
        resource: &Arc<SearchResource>,
        parameters: &[(String, String)],
        options: &QueryOptions,
    ) -> Result<Self, Vec<ParameterError>> {
        let mut query = Self::all(Arc::clone(resource), options.limit_default);
        query.facet_values_max = FACET_VALUES_DEFAULT;
        let mut parser = QueryParser { query, options, conditions: 0, errors: Vec::new() };
        let mut seen: Vec<String> = Vec::new();
        let mut cursor = None;
        for (name, value) in parameters {
            let folded = if is_reserved(name) { name.clone() } else { format!("?{}", name.to_ascii_lowercase()) };
            if seen.contains(&folded) {
                parser.errors.push(ParameterError::new(name, "is given more than once."));
                continue;
            }
            seen.push(folded);
            if name == "cursor" {
                cursor = Some(value);
            } else if let Err(error) = parser.parameter(name, value) {
                parser.errors.push(error);
            }
        }
        // A cursor is bound to the whole query, so it is parsed last, and only if the rest is valid.
        if let Some(text) = cursor
            && parser.errors.is_empty()
            && let Err(error) = parser.cursor(text)
        {
            parser.errors.push(error);
        }
        if parser.errors.is_empty() { Ok(parser.query) } else { Err(parser.errors) }
    }
}

fn is_reserved(name: &str) -> bool {
    matches!(name, "q" | "sort" | "facet" | "facetLimit" | "fields" | "limit" | "cursor" | "totalCount")
}

struct QueryParser<'a> {
    query: SearchQuery,
    options: &'a QueryOptions,
    conditions: usize,
    errors: Vec<ParameterError>,
}

type ParameterResult = Result<(), ParameterError>;

impl QueryParser<'_> {
    fn parameter(&mut self, name: &str, value: &str) -> ParameterResult {
        match name {
            "q" => self.text(value),
            "sort" => self.sort(value),
            "facet" => self.facets(value),
            "facetLimit" => {
                let max = u32::from(FACET_VALUES_MAX);
                let limit = whole_number(value, max).filter(|limit| *limit > 0).and_then(|limit| limit.try_into().ok());
                let expected = || ParameterError::bad_value(name, value, &format!("a whole number from 1 to {max}"));
                self.query.facet_values_max = limit.ok_or_else(expected)?;
                Ok(())
            }
            "fields" => self.fields(value),
            "limit" => {
                let max = self.options.limit_max;
                let expected = || ParameterError::bad_value(name, value, &format!("a whole number from 0 to {max}"));
                self.query.limit = whole_number(value, max).ok_or_else(expected)?;
                Ok(())
            }
            "totalCount" => {
                let expected = || ParameterError::bad_value(name, value, "true or false");
                self.query.total_count = value.to_ascii_lowercase().parse().map_err(|_| expected())?;
                Ok(())
            }
            _ => self.condition(name, value),
        }
    }

    fn text(&mut self, value: &str) -> ParameterResult {
        let Some(terms) = query_terms(value) else {
            self.query.conditions.conditions.push(Condition::default());
            return Ok(());
        };
        if terms.is_empty() {
            return Err(ParameterError::bad_value("q", value, "a word of letters or digits"));
        }
        if terms.len() > TERMS_MAX {
            return Err(ParameterError::new("q", &format!("has more than {TERMS_MAX} different words.")));
        }
        self.query.terms = terms.into_iter().collect();
        Ok(())
    }

    fn condition(&mut self, parameter: &str, value: &str) -> ParameterResult {
        let (name, operator) = split_operator(parameter)?;
        let resource = Arc::clone(&self.query.resource);
        let fields = condition_fields(&resource, parameter, name)?;
        self.conditions += 1;
        if self.conditions > CONDITIONS_MAX {
            return Err(ParameterError::new(parameter, &format!("exceeds the limit of {CONDITIONS_MAX} conditions.")));
        }
        let mut condition = Condition::default();
        let mut refused = None;
        let mut is_readable = false;
        for field in &fields {
            let kind = resource.field(*field).kind;
            if operator != Operator::Equal && !kind.is_ordered() {
                let problem =
                    format!("asks for a range of {}, which has no order: only '=' is supported.", unordered(kind));
                refused = Some(ParameterError::new(parameter, &problem));
                continue;
            }
            match parse_condition(kind, operator, value) {
                ParsedCondition::As(comparison) => condition.any_of.push(Test { field: *field, comparison }),
                ParsedCondition::Never => is_readable = true,
                ParsedCondition::Malformed(expected) => {
                    refused = Some(ParameterError::bad_value(parameter, value, expected));
                }
            }
        }
        match refused {
            Some(error) if condition.any_of.is_empty() && !is_readable => Err(error),
            _ => {
                let collection = fields.first().and_then(|field| resource.field(*field).collection);
                group(&mut self.query.conditions, &resource, collection).conditions.push(condition);
                Ok(())
            }
        }
    }

    fn sort(&mut self, value: &str) -> ParameterResult {
        for name in listed("sort", value, SORTS_MAX)? {
            let (descending, name) = name.strip_prefix('-').map_or((false, name), |name| (true, name));
            let field = single_field(&self.query.resource, "sort", name)?;
            if self.query.resource.field(field).collection.is_some() {
                let expected = "a field outside collections (inside, a document may have many values)";
                return Err(ParameterError::bad_value("sort", name, expected));
            }
            if self.query.sort.iter().any(|sort| sort.field == field) {
                return Err(ParameterError::bad_value("sort", name, "a field that is not yet in the list"));
            }
            self.query.sort.push(Sort { field, descending });
        }
        Ok(())
    }

    fn facets(&mut self, value: &str) -> ParameterResult {
        for name in listed("facet", value, FACETS_MAX)? {
            let field = single_field(&self.query.resource, "facet", name)?;
            if field == ID || self.query.resource.identity == Some(field) {
                return Err(ParameterError::bad_value("facet", name, "a field that documents can share"));
            }
            if self.query.facets.iter().any(|facet| facet.name == name) {
                return Err(ParameterError::bad_value("facet", name, "a field that is not yet in the list"));
            }
            self.query.facets.push(Facet { name: name.to_owned(), field });
        }
        Ok(())
    }

    fn fields(&mut self, value: &str) -> ParameterResult {
        let mut projection = Projection::default();
        for name in listed("fields", value, FIELDS_MAX)? {
            if !projection.add(&self.query.resource, name) {
                return Err(ParameterError::bad_value("fields", name, "a member of the resource"));
            }
        }
        self.query.projection = Some(projection);
        Ok(())
    }

    fn cursor(&mut self, text: &str) -> ParameterResult {
        if self.query.is_by_relevance() {
            let problem = "cannot be combined with an order by relevance, in which documents move: add a 'sort'.";
            return Err(ParameterError::new("cursor", problem));
        }
        let expected = || ParameterError::bad_value("cursor", text, "the 'next' of a page of this same query and sort");
        self.query.after = Some(self.query.read_cursor(text).ok_or_else(expected)?);
        Ok(())
    }
}

/// Returns the group of a collection within the root group; adds it and the groups of enclosing collections if missing.
fn group<'g>(root: &'g mut Group, resource: &SearchResource, collection: Option<CollectionIx>) -> &'g mut Group {
    let Some(ix) = collection else { return root };
    let around = group(root, resource, resource.collection(ix).parent);
    let at = around.inner.iter().position(|inner| inner.collection == Some(ix)).unwrap_or_else(|| {
        around.inner.push(Group { collection: Some(ix), ..Group::default() });
        around.inner.len() - 1
    });
    &mut around.inner[at]
}

/// Splits a comma-separated list of names: at least one, none empty.
fn listed<'v>(parameter: &str, value: &'v str, max: usize) -> Result<Vec<&'v str>, ParameterError> {
    let names: Vec<&str> = value.split(',').map(str::trim).collect();
    if names.iter().any(|name| name.is_empty()) {
        return Err(ParameterError::bad_value(parameter, value, "a list of field names, separated by commas,"));
    }
    if names.len() > max {
        return Err(ParameterError::new(parameter, &format!("names more than {max} fields.")));
    }
    Ok(names)
}

/// Parses digits only; the standard parser also accepts a plus sign.
fn whole_number(text: &str, max: u32) -> Option<u32> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok())?.filter(|number| *number <= max)
}
