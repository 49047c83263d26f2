//! Refuses requests that a web page of another site makes a browser send.
//!
//! The server has no credentials to check, and listens on loopback, where every browser of the machine reaches it. Two
//! attacks follow. A page whose name is made to resolve to 127.0.0.1 (DNS rebinding) reads and writes documents as its own
//! origin: such requests carry the name of that page in `Host`. A page of any other origin can send requests without reading
//! their responses: browsers mark those in `Origin` and `Sec-Fetch-Site`. Clients that are not browsers send neither.

use crate::options::PublicUrl;
use crate::origin::Origin;
use crate::problem::{Problem, ProblemKind};
use axum::extract::{Request, State};
use axum::http::uri::{Authority, Uri};
use axum::http::{HeaderMap, HeaderName, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::sync::Arc;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");

/// Middleware for routes without the API's guard.
pub(crate) async fn refuse_other_sites(
    State(public_url): State<Arc<Option<PublicUrl>>>,
    request: Request,
    next: Next,
) -> Response {
    match check_site(Option::as_ref(&public_url), request.method(), request.uri(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

/// Accepts a request whose host is a loopback name or that of `public_url`, and that no page of another origin sent.
pub(crate) fn check_site(
    public_url: Option<&PublicUrl>,
    method: &Method,
    target: &Uri,
    headers: &HeaderMap,
) -> Result<(), Problem> {
    let public = public_url.map(PublicUrl::origin);
    let host = named_host(target, headers).map_err(|()| misdirected())?;
    let is_public = |host: &Origin| public.is_some_and(|public| public.host == host.host);
    if host.as_ref().is_some_and(|host| !host.is_loopback() && !is_public(host)) {
        return Err(misdirected());
    }
    let own = host.filter(Origin::is_loopback);
    for origin in headers.get_all(header::ORIGIN) {
        let origin = origin.to_str().ok().and_then(Origin::parse);
        if origin.is_none() || (origin != own && origin.as_ref() != public) {
            return Err(cross_site());
        }
    }
    let is_foreign = headers.get_all(SEC_FETCH_SITE).iter().any(|site| site != "same-origin" && site != "none");
    if is_foreign && !is_followed_link(method, headers) {
        return Err(cross_site());
    }
    Ok(())
}

/// Whether the user followed a link: the response replaces the page that had it, which cannot read it.
fn is_followed_link(method: &Method, headers: &HeaderMap) -> bool {
    let is_read = *method == Method::GET || *method == Method::HEAD;
    is_read && headers.get(SEC_FETCH_MODE).is_some_and(|mode| mode == "navigate")
}

/// Returns the host that a request names; `None` if it names none (HTTP/1.0), `Err` if it is not a host. The authority of
/// the target takes precedence over the header (RFC 9112, 3.2.2).
fn named_host(target: &Uri, headers: &HeaderMap) -> Result<Option<Origin>, ()> {
    let of = |authority: &Authority| Origin::new(false, authority).map(Some).ok_or(());
    if let Some(authority) = target.authority() {
        return of(authority);
    }
    let mut hosts = headers.get_all(header::HOST).iter();
    match (hosts.next(), hosts.next()) {
        (None, _) => Ok(None),
        (Some(host), None) => of(&host.to_str().map_err(|_| ())?.parse().map_err(|_| ())?),
        (Some(_), Some(_)) => Err(()),
    }
}

fn misdirected() -> Problem {
    let detail = "This server does not answer for the host that the request names: use localhost or a loopback address. \
                  Behind a proxy, its operator sets 'api.public_url' to the address that clients use.";
    Problem::new(ProblemKind::MisdirectedRequest, detail).closing()
}

fn cross_site() -> Problem {
    let detail = "The request was sent by a web page of another origin. This server accepts requests of its own origin and of \
                  clients that are not browsers.";
    Problem::new(ProblemKind::CrossSiteRequest, detail).closing()
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn check(public_url: &str, method: Method, headers: &[(&'static str, &str)]) -> Option<ProblemKind> {
        let public_url: Option<PublicUrl> = (!public_url.is_empty()).then(|| public_url.parse().unwrap());
        let named = |(name, value): &(&'static str, &str)| {
            (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
        };
        let headers: HeaderMap = headers.iter().map(named).collect();
        check_site(public_url.as_ref(), &method, &Uri::from_static("/data"), &headers)
            .err()
            .map(|problem| problem.kind())
    }

    #[test]
    fn a_host_is_a_loopback_name_or_the_public_one() {
        for host in [
            "localhost",
            "LocalHost:8080",
            "localhost.",
            "api.localhost:1",
            "127.0.0.1:8080",
            "127.7.7.7",
            "[::1]:8080",
            "[::ffff:127.0.0.1]",
        ] {
            assert_eq!(check("", Method::GET, &[("host", host)]), None, "{host}");
        }
        let misdirected = Some(ProblemKind::MisdirectedRequest);
        for host in [
            "",
            "evil.example",
            "evil.example:8080",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "0.0.0.0:8080",
            "192.168.1.5",
            "notlocalhost",
            "a b",
            "user@localhost",
            "localhost:",
            "localhost:99999",
            "edfi.example.org",
        ] {
            assert_eq!(check("", Method::GET, &[("host", host)]), misdirected, "{host}");
        }
        let public = "https://edfi.example.org/api";
        assert_eq!(check(public, Method::GET, &[("host", "EdFi.example.org")]), None);
        assert_eq!(check(public, Method::GET, &[("host", "edfi.example.org.evil")]), misdirected);
        assert_eq!(check("", Method::GET, &[]), None, "HTTP/1.0 names no host");
    }

    #[test]
    fn an_origin_is_that_of_the_server() {
        let post = |public, host, origin| check(public, Method::POST, &[("host", host), ("origin", origin)]);
        assert_eq!(post("", "localhost:8080", "http://localhost:8080"), None);
        assert_eq!(post("", "[::1]:8080", "http://[::1]:8080"), None);
        assert_eq!(post("", "localhost", "http://localhost:80"), None);
        assert_eq!(post("https://edfi.example.org/api", "127.0.0.1:8080", "https://edfi.example.org"), None);
        let refused = Some(ProblemKind::CrossSiteRequest);
        for origin in [
            "null",
            "",
            "http://localhost:3000",
            "https://localhost:8080",
            "http://127.0.0.1:8080",
            "http://evil.example",
            "http://localhost:8080@evil.example",
            "localhost:8080",
        ] {
            assert_eq!(post("", "localhost:8080", origin), refused, "{origin}");
        }
        assert_eq!(post("https://edfi.example.org", "edfi.example.org", "http://edfi.example.org"), refused);
    }

    #[test]
    fn a_page_of_another_site_only_links() {
        let refused = Some(ProblemKind::CrossSiteRequest);
        for (method, site, mode, expected) in [
            (Method::POST, "same-origin", "cors", None),
            (Method::GET, "none", "navigate", None),
            (Method::GET, "cross-site", "navigate", None),
            (Method::GET, "cross-site", "no-cors", refused),
            (Method::POST, "cross-site", "navigate", refused),
            (Method::GET, "same-site", "cors", refused),
            (Method::DELETE, "odd", "cors", refused),
        ] {
            let headers = [("host", "localhost"), ("sec-fetch-site", site), ("sec-fetch-mode", mode)];
            assert_eq!(check("", method.clone(), &headers), expected, "{method} {site} {mode}");
        }
    }
}
