//! Where the node is, who we are there, and what the indexes are like.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use millstream_pipeline::binding::Binding;
use millstream_search::SearchModel;
use reqwest::Url;

const PREFIX_BYTES_MAX: usize = 100;
const ANSWER_TIMEOUT: std::ops::RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(300);
const REFRESH_INTERVAL: std::ops::RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(3_600);
/// Copies of an index beyond which a typing error is likelier than a cluster.
const REPLICAS_MAX: u32 = 20;

/// Indexes of documents in OpenSearch, and the way to them.
#[derive(Clone)]
pub struct OpenSearchOptions {
    /// `https://host:port`, perhaps with a path.
    pub url: String,
    /// What the names of all indexes and aliases begin with: `millstream`. One host's instances have one each.
    pub prefix: String,
    /// User and password.
    pub user: Option<(String, String)>,
    /// Certificates, as PEM, that a server's may be signed by, beside those that the system trusts.
    pub ca_certificates: Option<Vec<u8>>,
    /// A certificate and its key, as PEM, that we show.
    pub client_certificate: Option<Vec<u8>>,
    /// Copies of each index beside the first. None, on the one node of a small installation; with a cluster, 1: then a
    /// document that was delivered outlives the loss of a node.
    pub replicas: u32,
    /// How soon what was delivered is found by searches.
    pub refresh_interval: Duration,
    /// For how long to wait for an answer, 1 s to 5 min.
    pub answer_timeout: Duration,
    /// The fields of all types of the schema.
    pub model: Arc<SearchModel>,
    /// The database that the indexes are a copy of; without one they are not asked whose copy they are.
    pub binding: Option<Binding>,
}

impl OpenSearchOptions {
    /// Options for one node without users.
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

    /// The address, if nothing is wrong with any option; else everything that is.
    pub(super) fn check(&self) -> Result<Url, OptionsError> {
        let mut faults = Vec::new();
        let url = match Url::parse(&self.url) {
            Ok(url) => {
                faults.extend(self.address_faults(&url));
                Some(url)
            }
            Err(_) => {
                // Its display repeats nothing of the address, and neither do we: there may be a password in it.
                faults.push("the address is none: set it to https://host:port".to_owned());
                None
            }
        };
        if !is_prefix(&self.prefix) {
            let prefix = &self.prefix;
            faults.push(format!(
                "{prefix:?} cannot be what index names begin with: a letter, then at most {PREFIX_BYTES_MAX} of a-z, 0-9, '-', '_'"
            ));
        }
        if self.replicas > REPLICAS_MAX {
            faults.push(format!("an index has at most {REPLICAS_MAX} replicas, not {}", self.replicas));
        }
        if !REFRESH_INTERVAL.contains(&self.refresh_interval) {
            faults.push(format!("indexes are refreshed every 100 ms to 1 h, not {:?}", self.refresh_interval));
        }
        if !ANSWER_TIMEOUT.contains(&self.answer_timeout) {
            faults.push(format!("answers are waited for from 1 s to 5 min, not {:?}", self.answer_timeout));
        }
        match url {
            Some(url) if faults.is_empty() => Ok(url),
            _ => Err(OptionsError { faults }),
        }
    }

    fn address_faults(&self, url: &Url) -> Vec<String> {
        let mut faults = Vec::new();
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
            faults.push("the address has to be http://host:port or https://host:port".to_owned());
        }
        if !url.username().is_empty() || url.password().is_some() {
            faults.push("the address carries a user or a password: set them by their own options".to_owned());
        }
        let secret = self.user.is_some() || self.client_certificate.is_some();
        if secret && url.scheme() == "http" && !is_loopback(url) {
            faults.push("a password would travel in the clear: use https, or leave out the user".to_owned());
        }
        faults
    }
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// No dot: one is what ends the prefix, so that no prefix is the beginning of another's names.
fn is_prefix(prefix: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_');
    prefix.len() <= PREFIX_BYTES_MAX
        && prefix.starts_with(|c: char| c.is_ascii_lowercase())
        && prefix.chars().all(plain)
}

/// Without secrets.
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

/// The options cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the options of OpenSearch are not right: {}", faults.join("; "))]
pub struct OptionsError {
    /// All that is wrong, with what to do.
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
