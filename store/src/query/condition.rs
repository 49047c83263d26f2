//! Filters as one SQL condition over the root table under the alias `r`.

use super::error::QueryError;
use super::request::QueryRequest;
use super::value::{Parameter, Reading, read_value};
use crate::table::descriptor::id_by_uri;
use crate::table::document::id_by_uuid;
use millstream_schema::plan::{QueryField, QueryKind, QueryPath, ResourcePlan};
use tokio_postgres::types::{ToSql, Type};

/// The documents that a request selects.
#[derive(Debug)]
pub(crate) enum Selection {
    /// None: some filter can match no document.
    Nothing,
    /// Those that meet the condition.
    Where(Condition),
}

/// A conjunction and its parameters, numbered from a given first one.
#[derive(Debug, Default)]
pub(crate) struct Condition {
    terms: Vec<String>,
    parameters: Vec<Parameter>,
    first: usize,
}

impl Selection {
    /// Parses the filters of a request; the parameters are numbered from `first`.
    pub(crate) fn of(resource: &ResourcePlan, request: &QueryRequest, first: usize) -> Result<Self, QueryError> {
        let mut condition = Condition { first, ..Condition::default() };
        let mut nothing = false;
        for (name, text) in &request.filters {
            let Some(field) = resource.query_fields.get(&name.to_ascii_lowercase()) else {
                return Err(QueryError::UnknownField { field: name.clone() });
            };
            if field.paths.is_empty() {
                return Err(QueryError::NotSupported { field: field.name.clone() });
            }
            // A later filter may still be an error, so an empty answer is not yet certain here.
            nothing |= !condition.add_field(field, text)?;
        }
        Ok(if nothing { Self::Nothing } else { Self::Where(condition) })
    }
}

impl Condition {
    /// ` WHERE …` of the filters and `more`, or nothing.
    pub(crate) fn sql(&self, more: &[&str]) -> String {
        let terms: Vec<&str> = more.iter().copied().chain(self.terms.iter().map(String::as_str)).collect();
        if terms.is_empty() { String::new() } else { format!(" WHERE {}", terms.join(" AND ")) }
    }

    /// Whether there are no filters.
    pub(crate) fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }

    pub(crate) fn types(&self) -> impl Iterator<Item = Type> {
        self.parameters.iter().map(Parameter::postgres_type)
    }

    pub(crate) fn parameters(&self) -> impl Iterator<Item = &(dyn ToSql + Sync)> {
        self.parameters.iter().map(Parameter::as_sql)
    }

    /// Adds "one of the field's paths has this value"; `false` if none of them can.
    fn add_field(&mut self, field: &QueryField, text: &str) -> Result<bool, QueryError> {
        let mut alternatives = Vec::new();
        let mut malformed = None;
        for path in &field.paths {
            match read_value(path.kind, text) {
                Reading::Value(parameter) => alternatives.push(self.compare(path, parameter)),
                Reading::Descriptor { uri_lower, key } => {
                    let uri = self.bind(Parameter::Text(uri_lower));
                    alternatives.push(path.filter.sql.replacen("{}", &id_by_uri(&uri, key), 1));
                }
                Reading::MatchesNothing => {}
                Reading::Malformed { expected } => malformed = Some(expected),
            }
        }
        match (alternatives.is_empty(), malformed) {
            (true, Some(expected)) => {
                Err(QueryError::BadValue { field: field.name.clone(), value: text.to_owned(), expected })
            }
            (true, None) => Ok(false),
            (false, _) => {
                self.terms.push(format!("({})", alternatives.join(" OR ")));
                Ok(true)
            }
        }
    }

    fn compare(&mut self, path: &QueryPath, parameter: Parameter) -> String {
        let placeholder = self.bind(parameter);
        match path.kind {
            QueryKind::Uuid => path.filter.sql.replacen("{}", &id_by_uuid(&placeholder), 1),
            _ => path.filter.sql.replacen("{}", &placeholder, 1),
        }
    }

    fn bind(&mut self, parameter: Parameter) -> String {
        self.parameters.push(parameter);
        format!("${}", self.first + self.parameters.len() - 1)
    }
}
