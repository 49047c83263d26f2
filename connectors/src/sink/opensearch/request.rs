//! Requests to a cluster: method, path, parameters, JSON body.

use bytes::Bytes;
use reqwest::{Method, Url};
use serde_json::Value;

/// One request, independent of the address of the cluster.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) method: Method,
    segments: Vec<String>,
    parameters: Vec<(&'static str, String)>,
    pub(super) body: Option<Bytes>,
}

impl Request {
    pub(super) fn get(path: &[&str]) -> Self {
        Self::new(Method::GET, path)
    }

    pub(super) fn post(path: &[&str]) -> Self {
        Self::new(Method::POST, path)
    }

    pub(super) fn put(path: &[&str]) -> Self {
        Self::new(Method::PUT, path)
    }

    pub(super) fn delete(path: &[&str]) -> Self {
        Self::new(Method::DELETE, path)
    }

    fn new(method: Method, path: &[&str]) -> Self {
        let segments = path.iter().map(|&segment| segment.to_owned()).collect();
        Self { method, segments, parameters: Vec::new(), body: None }
    }

    /// Adds a query parameter.
    pub(super) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.parameters.push((name, value.into()));
        self
    }

    /// Sets the body.
    pub(super) fn json(self, body: &Value) -> Self {
        self.bytes(body.to_string().into())
    }

    /// Sets an encoded JSON body.
    pub(super) fn bytes(mut self, body: Bytes) -> Self {
        self.body = Some(body);
        self
    }

    /// Returns the URL of the request on the cluster at `base`, which may have a path of its own.
    pub(super) fn url(&self, base: &Url) -> Url {
        let mut url = base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty();
            // The cluster itself is a directory: a proxy may redirect its path without the slash.
            match self.segments[..] {
                [] => path.push(""),
                _ => path.extend(&self.segments),
            };
        }
        if !self.parameters.is_empty() {
            url.query_pairs_mut().extend_pairs(&self.parameters);
        }
        url
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_the_path_of_the_cluster_and_encoded_names() {
        let request =
            Request::get(&["a*,b/c", "_mapping"]).with("filter_path", "*.mappings._meta").with("local", "true");
        for base in ["https://search.example:9200/at", "https://search.example:9200/at/"] {
            let url = request.url(&Url::parse(base).expect("an address"));
            let expected = "https://search.example:9200/at/a*,b%2Fc/_mapping?filter_path=*.mappings._meta&local=true";
            assert_eq!(url.as_str(), expected);
            let root = Request::get(&[]).url(&Url::parse(base).expect("an address"));
            assert_eq!(root.as_str(), "https://search.example:9200/at/");
        }
        let root = Request::get(&[]).url(&Url::parse("http://localhost:9200").expect("an address"));
        assert_eq!(root.as_str(), "http://localhost:9200/");
    }
}
