//! The query string of a collection: paging parameters; every other parameter is a filter.

use crate::options::ApiOptions;
use crate::problem::{Problem, ProblemKind, SEE_ERRORS};
use millstream_store::query::QueryRequest;
use percent_encoding::percent_decode;

/// Largest offset. Every skipped document costs an index entry, which a page token does not.
const OFFSET_MAX: u64 = 1_000_000;

/// Parses a raw query string. Names of paging parameters are case-sensitive, those of fields are not
/// (docs/design/edfi-api.md#edfi-9). Each name may occur once. The store decides whether a field exists.
pub(crate) fn read_query(raw: Option<&str>, options: &ApiOptions) -> Result<QueryRequest, Problem> {
    let mut reader = QueryReader { options, request: QueryRequest::default(), seen: Vec::new(), errors: Vec::new() };
    reader.request.limit = options.limit_default;
    for (name, value) in pairs(raw)? {
        reader.parameter(name, value);
    }
    if reader.request.page_token.is_some() && reader.request.offset > 0 {
        reader
            .errors
            .push("'pageToken' and 'offset' cannot be combined: a token already names where to continue.".to_owned());
    }
    if reader.errors.is_empty() { Ok(reader.request) } else { Err(Problem::bad_parameters(reader.errors)) }
}

/// Decodes the parameters of a raw query string, in their order.
pub(crate) fn pairs(raw: Option<&str>) -> Result<Vec<(String, String)>, Problem> {
    let pairs = raw.unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
    let pairs = pairs.map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        decode(name).zip(decode(value)).ok_or_else(|| {
            let message = format!("The query parameter '{name}' is not UTF-8 in percent encoding.");
            Problem::new(ProblemKind::BadRequest, SEE_ERRORS).with_errors([message])
        })
    });
    pairs.collect()
}

/// Decodes `%XX` and `+` (a blank); `None` if the bytes are not UTF-8.
fn decode(text: &str) -> Option<String> {
    let text = text.replace('+', " ");
    let decoded = percent_decode(text.as_bytes()).decode_utf8().ok()?;
    Some(decoded.into_owned())
}

struct QueryReader<'a> {
    options: &'a ApiOptions,
    request: QueryRequest,
    /// Names seen so far, in the case that they compare in.
    seen: Vec<String>,
    errors: Vec<String>,
}

impl QueryReader<'_> {
    fn parameter(&mut self, name: String, value: String) {
        let is_paging = matches!(&*name, "limit" | "offset" | "totalCount" | "pageToken");
        let compared = if is_paging { name.clone() } else { format!("?{}", name.to_ascii_lowercase()) };
        if self.seen.contains(&compared) {
            self.errors.push(format!("The query parameter '{name}' is given more than once."));
            return;
        }
        self.seen.push(compared);
        match &*name {
            "limit" => self.limit(&value),
            "offset" => self.offset(&value),
            "totalCount" => self.total_count(&value),
            "pageToken" => self.request.page_token = Some(value),
            _ => self.request.filters.push((name, value)),
        }
    }

    fn limit(&mut self, value: &str) {
        let max = self.options.limit_max;
        match whole_number(value).filter(|limit| *limit <= u64::from(max)).and_then(|limit| u32::try_from(limit).ok()) {
            Some(limit) => self.request.limit = limit,
            None => self.bad("limit", value, &format!("a whole number from 0 to {max}")),
        }
    }

    fn offset(&mut self, value: &str) {
        match whole_number(value).filter(|offset| *offset <= OFFSET_MAX) {
            Some(offset) => self.request.offset = offset,
            None => {
                let expected = format!("a whole number from 0 to {OFFSET_MAX} ('pageToken' reads further)");
                self.bad("offset", value, &expected);
            }
        }
    }

    fn total_count(&mut self, value: &str) {
        if value.eq_ignore_ascii_case("true") {
            self.request.total_count = true;
        } else if !value.eq_ignore_ascii_case("false") {
            self.bad("totalCount", value, "true or false");
        }
    }

    fn bad(&mut self, name: &str, value: &str, expected: &str) {
        self.errors
            .push(format!("The value '{value}' of the query parameter '{name}' is not valid: {expected} is expected."));
    }
}

/// Parses digits only; the standard parser also accepts a plus sign.
fn whole_number(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(raw: &str) -> Result<QueryRequest, ProblemKind> {
        read_query(Some(raw), &ApiOptions::default()).map_err(|problem| problem.kind())
    }

    #[test]
    fn nothing_asked_is_the_first_page() {
        for raw in [None, Some(""), Some("&&")] {
            let request = read_query(raw, &ApiOptions::default()).unwrap();
            assert_eq!((request.limit, request.offset, request.total_count), (25, 0, false));
            assert!(request.filters.is_empty() && request.page_token.is_none());
        }
    }

    #[test]
    fn paging_and_filters_are_told_apart() {
        let request = read("limit=0&offset=7&totalCount=True&schoolId=5&Name=a+b%26%C3%A9&empty").unwrap();
        assert_eq!((request.limit, request.offset, request.total_count), (0, 7, true));
        let filters = [("schoolId", "5"), ("Name", "a b&é"), ("empty", "")].map(|(n, v)| (n.to_owned(), v.to_owned()));
        assert_eq!(request.filters, filters);
        assert_eq!(read("offset=1000000").unwrap().offset, 1_000_000);
        assert_eq!(read("pageToken=abc&limit=500").unwrap().page_token.as_deref(), Some("abc"));
        assert_eq!(read("Limit=5").unwrap().filters.len(), 1, "another case is another name");
    }

    #[test]
    fn bad_values_are_refused() {
        for raw in [
            "limit=-1",
            "limit=501",
            "limit=",
            "limit",
            "limit=1.0",
            "limit=%2B5",
            "limit=99999999999999999999",
            "offset=-1",
            "offset=x",
            "offset=1000001",
            "offset=9223372036854775807",
            "offset=9223372036854775808",
            "totalCount=1",
            "totalCount=",
            "limit=1&limit=1",
            "a=1&A=2",
            "pageToken=a&offset=1",
        ] {
            assert_eq!(read(raw).unwrap_err(), ProblemKind::ParameterValidationFailed, "{raw}");
        }
        assert_eq!(read("name=%FF").unwrap_err(), ProblemKind::BadRequest);
    }
}
