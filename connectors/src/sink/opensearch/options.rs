//! Options of the OpenSearch sink: address, credentials, index settings.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use millstream_pipeline::binding::Binding;
use millstream_search::SearchModel;
use reqwest::Url;

const PREFIX_BYTES_MAX: usize = 100;
const ANSWER_TIMEOUT: std::ops::RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(300);
const REFRESH_INTERVAL: std::ops::RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(3_600);
/// Maximum number of replicas: a larger number is most likely a typing error.
const REPLICAS_MAX: u32 = 20;

/// Indexes of documents in OpenSearch, and the connection.
#[derive(Clone)]
pub struct OpenSearchOptions {
    /// `https://host:port`, optionally with a path.
    pub url: String,
    /// Prefix of all index and alias names: `millstream`. Each instance of a host needs its own.
    pub prefix: String,
    /// User and password.
    pub user: Option<(String, String)>,
    /// Additional certificate authorities, as PEM.
    pub ca_certificates: Option<Vec<u8>>,
    /// Client certificate and key, as PEM.
    pub client_certificate: Option<Vec<u8>>,
    /// Number of replicas. 0 for a single node; 1 for a cluster, so that a delivered document survives the loss of a
    /// node.
    pub replicas: u32,
    /// Interval after which searches find delivered documents.
    pub refresh_interval: Duration,
    /// Timeout of requests, 1 s to 5 min.
    pub answer_timeout: Duration,
    /// The fields of all resources of the schema.
    pub model: Arc<SearchModel>,
    /// The database that the indexes are a copy of. Without one, the indexes' database is not checked.
    pub binding: Option<Binding>,
}

impl OpenSearchOptions {
    /// Options for one node without authentication.
    pub fn new(url: impl Into<String>, prefix: impl Into<String>, model: Arc<SearchModel>) -> Self {
        Self {
            url: url.into(),
            prefix: prefix.into(),
            user: None,
            ca_certificates: None,
            client_certificate: None,
            replicas: 0,
            refresh_interval: Duration::from_secs(1),
            answer_timeout: Duration::from_secs(30),
            model,
            binding: None,
        }
    }

    /// Checks all options. Returns the address, or every fault.
    pub(super) fn check(&self) -> Result<Url, OpenSearchOptionsError> {
        let mut faults = Vec::new();
        let url = match Url::parse(&self.url) {
            Ok(url) => {
                faults.extend(self.address_faults(&url));
                Some(url)
            }
            Err(_) => {
                // The message must not contain the address, which may hold a password.
                faults.push("the address is invalid: set it to https://host:port".to_owned());
                None
            }
        };
        if !is_prefix(&self.prefix) {
            let prefix = &self.prefix;
            faults.push(format!(
                "{prefix:?} is not a valid prefix: a letter, then at most {PREFIX_BYTES_MAX} of a-z, 0-9, '-', '_'"
            ));
        }
        if self.replicas > REPLICAS_MAX {
            faults.push(format!("the number of replicas must be at most {REPLICAS_MAX}, not {}", self.replicas));
        }
        if !REFRESH_INTERVAL.contains(&self.refresh_interval) {
            faults.push(format!("the refresh interval must be 100 ms to 1 h, not {:?}", self.refresh_interval));
        }
        if !ANSWER_TIMEOUT.contains(&self.answer_timeout) {
            faults.push(format!("the answer timeout must be 1 s to 5 min, not {:?}", self.answer_timeout));
        }
        match url {
            Some(url) if faults.is_empty() => Ok(url),
            _ => Err(OpenSearchOptionsError { faults }),
        }
    }

    fn address_faults(&self, url: &Url) -> Vec<String> {
        let mut faults = Vec::new();
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
            faults.push("the address must be http://host:port or https://host:port".to_owned());
        }
        if !url.username().is_empty() || url.password().is_some() {
            faults.push("the address contains a user or a password: set them with their own options".to_owned());
        }
        let secret = self.user.is_some() || self.client_certificate.is_some();
        if secret && url.scheme() == "http" && !is_loopback(url) {
            faults.push("a password would be sent in the clear: use https, or remove the user".to_owned());
        }
        faults
    }
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Allows no dot: a dot ends the prefix, so the names of one prefix never begin with another.
fn is_prefix(prefix: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_');
    prefix.len() <= PREFIX_BYTES_MAX
        && prefix.starts_with(|c: char| c.is_ascii_lowercase())
        && prefix.chars().all(plain)
}

/// Prints no secrets.
impl fmt::Debug for OpenSearchOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenSearchOptions")
            .field("prefix", &self.prefix)
            .field("replicas", &self.replicas)
            .field("refresh_interval", &self.refresh_interval)
            .field("answer_timeout", &self.answer_timeout)
            .finish_non_exhaustive()
    }
}

/// Invalid options of an OpenSearch sink.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid options of OpenSearch: {}", faults.join("; "))]
pub struct OpenSearchOptionsError {
    /// Every fault, with its remedy.
    pub faults: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use millstream_testkit::World;

    fn options(url: &str) -> OpenSearchOptions {
        OpenSearchOptions::new(url, "millstream", Arc::new(SearchModel::of(&World::fixtures().mapping)))
    }

    #[test]
    fn a_password_goes_nowhere_in_the_clear() {
        let secret = |url: &str| OpenSearchOptions {
            user: Some(("millstream".to_owned(), "hunter2".to_owned())),
            ..options(url)
        };
        for fine in ["https://search.example:9200", "http://127.0.0.1:9200", "http://[::1]:9200", "http://localhost/"] {
            assert!(secret(fine).check().is_ok(), "{fine}");
        }
        assert!(options("http://search.example:9200").check().is_ok());
        let error = secret("http://search.example:9200").check().expect_err("refused");
        assert!(error.to_string().contains("in the clear"), "{error}");
        let error = options("https://millstream:hunter2@search.example").check().expect_err("refused");
        assert!(!format!("{error} {:?}", secret("https://a:hunter2@b")).contains("hunter2"), "{error}");
    }

    #[test]
    fn every_fault_is_named_at_once() {
        let wrong = OpenSearchOptions {
            prefix: "a.b".to_owned(),
            replicas: 100,
            refresh_interval: Duration::ZERO,
            answer_timeout: Duration::ZERO,
            ..options("search.example:9200")
        };
        let error = wrong.check().expect_err("refused");
        assert_eq!(error.faults.len(), 5, "{error}");
    }
}
