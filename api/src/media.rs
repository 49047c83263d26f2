//! Media types: responses and accepted bodies are JSON in UTF-8, not compressed.

use crate::problem::{Problem, ProblemKind};
use axum::http::{HeaderMap, HeaderValue, header};

/// Bytes that `id`, `_etag` and `_lastModifiedDate` add to a stored body.
pub(crate) const ENVELOPE_BYTES: usize = 160;
/// Media type of documents.
pub(crate) const JSON: HeaderValue = HeaderValue::from_static("application/json; charset=utf-8");

/// Refuses a body that is not declared as JSON, is declared in another character set than UTF-8, or is encoded.
///
/// A body without a declaration is refused as well: a web page can send one to any address without asking first, and a
/// body of JSON only after the preflight request that this server refuses.
pub(crate) fn check_media_type(headers: &HeaderMap) -> Result<(), Problem> {
    let refused = |detail: &'static str| Err(Problem::new(ProblemKind::UnsupportedMediaType, detail));
    if headers.get_all(header::CONTENT_ENCODING).iter().any(|value| !value.as_bytes().eq_ignore_ascii_case(b"identity"))
    {
        return refused("Encoded bodies are not accepted: send the body without a Content-Encoding.");
    }
    let mut types = headers.get_all(header::CONTENT_TYPE).iter().peekable();
    if types.peek().is_none() || !types.all(|value| value.to_str().is_ok_and(is_json)) {
        return refused("The body has to be JSON in UTF-8: send it with the Content-Type application/json.");
    }
    Ok(())
}

fn is_json(content_type: &str) -> bool {
    let mut parts = content_type.split(';').map(str::trim);
    let essence = parts.next().unwrap_or_default().to_ascii_lowercase();
    let is_json = essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"));
    is_json && parts.all(|parameter| !is_other_charset(parameter))
}

fn is_other_charset(parameter: &str) -> bool {
    let Some((name, value)) = parameter.split_once('=') else { return false };
    let charset = value.trim().trim_matches('"');
    name.trim().eq_ignore_ascii_case("charset")
        && !["utf-8", "utf8"].iter().any(|utf8| charset.eq_ignore_ascii_case(utf8))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderName;

    fn is_taken(name: HeaderName, value: &str) -> bool {
        let mut headers = HeaderMap::from_iter([(header::CONTENT_TYPE, JSON)]);
        headers.insert(name, HeaderValue::from_str(value).unwrap());
        check_media_type(&headers).is_ok()
    }

    #[test]
    fn json_in_utf_8_is_taken() {
        for value in [
            "application/json",
            "APPLICATION/Json",
            "application/json; charset=utf-8",
            "application/json;charset=\"UTF-8\"; x=y",
            "application/vnd.ed-fi.student+json",
        ] {
            assert!(is_taken(header::CONTENT_TYPE, value), "{value}");
        }
        assert!(is_taken(header::CONTENT_ENCODING, "identity"));
    }

    #[test]
    fn everything_else_is_not() {
        for value in
            ["", "text/plain", "text/json", "application/xml", "application/json; charset=latin1", "json", "*/*"]
        {
            assert!(!is_taken(header::CONTENT_TYPE, value), "{value}");
        }
        assert!(!is_taken(header::CONTENT_ENCODING, "gzip"));
        assert!(check_media_type(&HeaderMap::new()).is_err(), "no declaration");
    }
}
