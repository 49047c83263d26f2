//! From query parameters to a query.
//!
//! | parameter | means |
//! |---|---|
//! | `q=words` | every word occurs somewhere in the document's text |
//! | `name=value` | equal; `name` is a query field (any of its places) or a dotted path, ignoring case |
//! | `name:gt=`, `:gte=`, `:lt=`, `:lte=` | a range; of texts byte for byte |
//! | `sort=a,-b` | ascending by a, then descending by b |
//! | `facet=a,b`, `facetLimit=n` | the most frequent values of these fields (10, at most 100) |
//! | `fields=a,b.c` | return only these members, and `id` |
//! | `limit=n`, `cursor=text` | a page |
//! | `totalCount=true` | count all that match |
//!
//! Names of parameters are case-sensitive, those of fields are not. All problems are told at once.

use super::error::ParameterError;
use super::name::{places, single, split_operator, unordered};
use super::{Condition, Facet, Group, Operator, Projection, SearchQuery, Sort, Test};
use crate::model::{ID, SearchResource};
use crate::text::query_terms;
use crate::value::{Compared, read};
use std::sync::Arc;

/// Terms of `q`.
const TERMS_MAX: usize = 32;
/// Conditions of a query.
const CONDITIONS_MAX: usize = 64;
/// Fields of a sort.
const SORTS_MAX: usize = 8;
/// Facets of a query.
const FACETS_MAX: usize = 16;
/// Names in `fields`.
const FIELDS_MAX: usize = 200;
/// Values of a facet, where `facetLimit` does not say.
const FACET_VALUES_DEFAULT: u16 = 10;
/// Values of a facet at most.
const FACET_VALUES_MAX: u16 = 100;

/// Bounds of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueryOptions {
    /// Documents of a page where `limit` does not say.
    pub limit_default: u32,
    /// Documents of a page at most.
    pub limit_max: u32,
}

impl SearchQuery {
    /// Reads the parameters of a search, decoded, in their order.
    ///
    /// # Errors
    /// Every parameter that cannot be taken, with what is expected.
    pub fn parse(
        resource: &Arc<SearchResource>,
        parameters: &[(String, String)],
        options: &QueryOptions,
    ) -> Result<Self, Vec<ParameterError>> {
        let mut query = Self::all(Arc::clone(resource), options.limit_default);
        query.facet_values_max = FACET_VALUES_DEFAULT;
        let mut reader = Reader { query, options, conditions: 0, errors: Vec::new() };
        let mut seen: Vec<String> = Vec::new();
        let mut cursor = None;
        for (name, value) in parameters {
            let compared = if is_reserved(name) { name.clone() } else { format!("?{}", name.to_ascii_lowercase()) };
            if seen.contains(&compared) {
                reader.errors.push(ParameterError::new(name, "is given more than once."));
                continue;
            }
            seen.push(compared);
            if name == "cursor" {
                cursor = Some(value);
            } else if let Err(error) = reader.parameter(name, value) {
                reader.errors.push(error);
            }
        }
        // A cursor is bound to the whole query, so it is read last, and only if the rest could be.
        if let Some(text) = cursor
            && reader.errors.is_empty()
            && let Err(error) = reader.cursor(text)
        {
            reader.errors.push(error);
        }
        if reader.errors.is_empty() { Ok(reader.query) } else { Err(reader.errors) }
    }
}

fn is_reserved(name: &str) -> bool {
    matches!(name, "q" | "sort" | "facet" | "facetLimit" | "fields" | "limit" | "cursor" | "totalCount")
}

struct Reader<'a> {
    query: SearchQuery,
    options: &'a QueryOptions,
    conditions: usize,
    errors: Vec<ParameterError>,
}

type Read = Result<(), ParameterError>;

impl Reader<'_> {
    fn parameter(&mut self, name: &str, value: &str) -> Read {
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

    fn text(&mut self, value: &str) -> Read {
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

    fn condition(&mut self, parameter: &str, value: &str) -> Read {
        let (name, operator) = split_operator(parameter)?;
        let resource = Arc::clone(&self.query.resource);
        let places = places(&resource, parameter, name)?;
        self.conditions += 1;
        if self.conditions > CONDITIONS_MAX {
            return Err(ParameterError::new(
                parameter,
                &format!("is one too many: {CONDITIONS_MAX} conditions are taken."),
            ));
        }
        let mut condition = Condition::default();
        let mut refused = None;
        let mut is_readable = false;
        for field in &places {
            let kind = resource.field(*field).kind;
            if operator != Operator::Equal && !kind.is_ordered() {
                let what = format!("asks for a range of {}, which has no order: only '=' is taken.", unordered(kind));
                refused = Some(ParameterError::new(parameter, &what));
                continue;
            }
            match read(kind, operator, value) {
                Compared::As(comparison) => condition.any_of.push(Test { field: *field, comparison }),
                Compared::Never => is_readable = true,
                Compared::Malformed(expected) => {
                    refused = Some(ParameterError::bad_value(parameter, value, expected));
                }
            }
        }
        match refused {
            Some(error) if condition.any_of.is_empty() && !is_readable => Err(error),
            _ => {
                let collection = places.first().and_then(|field| resource.field(*field).collection);
                group(&mut self.query.conditions, &resource, collection).conditions.push(condition);
                Ok(())
            }
        }
    }

    fn sort(&mut self, value: &str) -> Read {
        for name in listed("sort", value, SORTS_MAX)? {
            let (descending, name) = name.strip_prefix('-').map_or((false, name), |name| (true, name));
            let field = single(&self.query.resource, "sort", name)?;
            if self.query.resource.field(field).collection.is_some() {
                let expected = "a field outside of collections (inside, a document may have many values)";
                return Err(ParameterError::bad_value("sort", name, expected));
            }
            if self.query.sort.iter().any(|sort| sort.field == field) {
                return Err(ParameterError::bad_value("sort", name, "a field that is not yet in the list"));
            }
            self.query.sort.push(Sort { field, descending });
        }
        Ok(())
    }

    fn facets(&mut self, value: &str) -> Read {
        for name in listed("facet", value, FACETS_MAX)? {
            let field = single(&self.query.resource, "facet", name)?;
            if field == ID {
                return Err(ParameterError::bad_value("facet", name, "a field that documents can share"));
            }
            if self.query.facets.iter().any(|facet| facet.name == name) {
                return Err(ParameterError::bad_value("facet", name, "a field that is not yet in the list"));
            }
            self.query.facets.push(Facet { name: name.to_owned(), field });
        }
        Ok(())
    }

    fn fields(&mut self, value: &str) -> Read {
        let mut projection = Projection::default();
        for name in listed("fields", value, FIELDS_MAX)? {
            if !projection.add(&self.query.resource, name) {
                return Err(ParameterError::bad_value("fields", name, "a member of the resource"));
            }
        }
        self.query.projection = Some(projection);
        Ok(())
    }

    fn cursor(&mut self, text: &str) -> Read {
        if self.query.is_by_relevance() {
            let what = "cannot be combined with an order by relevance, in which documents move: add a 'sort'.";
            return Err(ParameterError::new("cursor", what));
        }
        let expected = || ParameterError::bad_value("cursor", text, "the 'next' of a page of this very query and sort");
        self.query.after = Some(self.query.read_cursor(text).ok_or_else(expected)?);
        Ok(())
    }
}

/// The group of a collection within the root group, made with the groups of the collections around it where missing.
fn group<'g>(
    root: &'g mut Group,
    resource: &SearchResource,
    collection: Option<crate::model::CollectionIx>,
) -> &'g mut Group {
    let Some(ix) = collection else { return root };
    let around = group(root, resource, resource.collection(ix).parent);
    let at = around.inner.iter().position(|inner| inner.collection == Some(ix)).unwrap_or_else(|| {
        around.inner.push(Group { collection: Some(ix), ..Group::default() });
        around.inner.len() - 1
    });
    &mut around.inner[at]
}

/// The names of a list that is separated by commas: at least one, none empty.
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

/// Digits only: the standard parser also takes a plus sign.
fn whole_number(text: &str, max: u32) -> Option<u32> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok())?.filter(|number| *number <= max)
}
