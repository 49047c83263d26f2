//! Parsing of single values. Problems are collected, each under the name of the key at the origin of its value.

use super::{
    error::ConfigErrors,
    key::{Key, Kind},
    secret::Secret,
    settings::Settings,
    values::{Kafka, OpenSearch},
};
use crate::sink_kind::SinkKind;
use millstream_api::PublicUrl;
use millstream_store::connect::ConnectOptions;
use reqwest::Url;
use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    str::FromStr,
    time::Duration,
};
use tracing_subscriber::EnvFilter;

/// Longest identifier that PostgreSQL does not truncate, in bytes.
const IDENTIFIER_MAX_BYTES: usize = 63;

/// Parses settings and collects problems. A wrong value is replaced by a harmless one until [`Check::conclude`] reports
/// all problems.
pub(super) struct Check<'a> {
    settings: &'a Settings,
    errors: Vec<String>,
}

impl<'a> Check<'a> {
    pub(super) fn new(settings: &'a Settings) -> Self {
        Self { settings, errors: Vec::new() }
    }

    pub(super) fn conclude<T>(self, value: T) -> Result<T, ConfigErrors> {
        if self.errors.is_empty() { Ok(value) } else { Err(ConfigErrors(self.errors)) }
    }

    /// Returns a key and its text.
    fn text(&self, name: &str) -> Option<(&'static Key, String)> {
        let key = Key::named(name)?;
        let value = self.settings.get(key)?.values.last()?;
        Some((key, value.clone()))
    }

    fn refuse(&mut self, key: &Key, value: &str, problem: &str) {
        let called = self.settings.get(key).map_or_else(|| key.name.to_owned(), |s| Settings::called(key, &s.origin));
        let shown = if key.is_secret() { Secret::new(value).to_string() } else { value.to_owned() };
        self.errors.push(format!("{called} is '{shown}': {problem}"));
    }

    pub(super) fn path(&mut self, name: &str) -> PathBuf {
        self.optional_path(name).unwrap_or_default()
    }

    pub(super) fn optional_path(&mut self, name: &str) -> Option<PathBuf> {
        let (key, text) = self.text(name)?;
        if text.is_empty() {
            self.refuse(key, &text, "it must name a file or a folder");
        }
        Some(PathBuf::from(text))
    }

    pub(super) fn paths(&mut self, name: &str) -> Vec<PathBuf> {
        let setting = Key::named(name).and_then(|key| Some((key, self.settings.get(key)?)));
        let Some((key, setting)) = setting else { return Vec::new() };
        if setting.values.iter().any(String::is_empty) {
            let joined = setting.values.join(":");
            self.refuse(key, &joined, "one of its parts is empty");
        }
        setting.values.iter().map(PathBuf::from).collect()
    }

    /// Returns a number within the bounds of its key, which also keep it within `T`.
    pub(super) fn number<T: TryFrom<u64> + Default>(&mut self, name: &str) -> T {
        let Some((key, text)) = self.text(name) else { return T::default() };
        let Kind::Number { min, max } = key.kind else { return T::default() };
        let number = text.replace('_', "").parse::<u64>().ok().filter(|number| (min..=max).contains(number));
        let typed = number.and_then(|number| T::try_from(number).ok());
        typed.unwrap_or_else(|| {
            self.refuse(key, &text, &format!("it must be a whole number from {min} to {max}"));
            T::default()
        })
    }

    /// Checks that one number is not larger than another.
    pub(super) fn ordered(&mut self, lesser: &str, greater: &str) {
        let Some((key, text)) = self.text(lesser) else { return };
        if self.number::<u64>(lesser) > self.number::<u64>(greater) {
            let (_, bound) = self.text(greater).unwrap_or((key, String::new()));
            self.refuse(key, &text, &format!("it must not be larger than {greater}, which is {bound}"));
        }
    }

    pub(super) fn millis(&mut self, name: &str) -> Duration {
        Duration::from_millis(self.number(name))
    }

    pub(super) fn choice(&mut self, name: &str) -> String {
        let Some((key, text)) = self.text(name) else { return String::new() };
        if let Kind::Choice(words) = key.kind
            && !words.contains(&text.as_str())
        {
            self.refuse(key, &text, &format!("it must be one of: {}", words.join(", ")));
        }
        text
    }

    /// Returns the sinks of a list of words.
    pub(super) fn sinks(&mut self, name: &str) -> Vec<SinkKind> {
        let given = Key::named(name).and_then(|key| Some((key, self.settings.get(key)?.values.clone())));
        let Some((key, values)) = given else { return Vec::new() };
        let Kind::Words(words) = key.kind else { return Vec::new() };
        let values: Vec<String> = values.into_iter().filter(|value| !value.is_empty()).collect();
        if let Some(other) = values.iter().find(|value| !words.contains(&value.as_str())) {
            self.refuse(key, other, &format!("it must be any of: {}", words.join(", ")));
        }
        values.iter().filter_map(|value| value.parse().ok()).collect()
    }

    pub(super) fn optional_text(&mut self, name: &str) -> Option<String> {
        self.text(name).map(|(_, text)| text)
    }

    /// Whether a key has a value.
    pub(super) fn is_set(&self, name: &str) -> bool {
        self.text(name).is_some()
    }

    /// Reports a problem with the value of a key, if it has one.
    pub(super) fn refuse_set(&mut self, name: &str, problem: &str) {
        if let Some((key, text)) = self.text(name) {
            self.refuse(key, &text, problem);
        }
    }

    pub(super) fn plain_text(&mut self, name: &str) -> String {
        self.optional_text(name).unwrap_or_default()
    }

    /// Returns pairs of names and values. Problems are reported without the value, which may be secret.
    pub(super) fn properties(&mut self, name: &str) -> BTreeMap<String, String> {
        let given = Key::named(name).and_then(|key| Some((key, self.settings.get(key)?.values.clone())));
        let Some((key, values)) = given else { return BTreeMap::new() };
        let mut properties = BTreeMap::new();
        for value in values.iter().filter(|value| !value.is_empty()) {
            match value.split_once('=') {
                Some((name, value)) => drop(properties.insert(name.trim().to_owned(), value.to_owned())),
                None => self.refuse(key, value, "each property must be a name, '=' and a value"),
            }
        }
        properties
    }

    /// Returns Kafka, if brokers are configured.
    pub(super) fn kafka(&mut self) -> Option<Kafka> {
        let bootstrap_servers = self.optional_text("kafka.bootstrap_servers")?;
        let properties = self.properties("kafka.properties").into_iter();
        Some(Kafka {
            bootstrap_servers,
            topic: self.plain_text("kafka.topic"),
            partitions: self.number("kafka.partitions"),
            replication: self.number("kafka.replication"),
            in_sync_min: self.number("kafka.in_sync_min"),
            record_bytes_max: self.number("kafka.record_bytes_max"),
            properties: properties.map(|(name, value)| (name, Secret::new(value))).collect(),
        })
    }

    /// Returns OpenSearch, if its address is configured.
    pub(super) fn opensearch(&mut self) -> Option<OpenSearch> {
        let url = self.optional_text("opensearch.url")?;
        let (name, password) = (self.optional_text("opensearch.user"), self.optional_text("opensearch.password"));
        if name.is_some() != password.is_some() {
            self.errors.push("opensearch.user and opensearch.password must be set together".to_owned());
        }
        Some(OpenSearch {
            url,
            user: name.zip(password.map(Secret::new)),
            ca_file: self.optional_path("opensearch.ca_file"),
            prefix: self.plain_text("opensearch.prefix"),
            replicas: self.number("opensearch.replicas"),
            refresh: self.millis("opensearch.refresh_ms"),
        })
    }

    /// Returns an identifier that needs no quotes in the replication protocol.
    pub(super) fn identifier(&mut self, name: &str) -> String {
        let Some((key, text)) = self.text(name) else { return String::new() };
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        if text.is_empty() || text.len() > IDENTIFIER_MAX_BYTES || !text.chars().all(plain) {
            self.refuse(key, &text, "it must be 1 to 63 characters of a-z, 0-9 and _");
        }
        text
    }

    pub(super) fn public_url(&mut self, name: &str) -> Option<PublicUrl> {
        let (key, text) = self.text(name)?;
        match PublicUrl::from_str(&text) {
            Ok(url) => Some(url),
            Err(problem) => {
                self.refuse(key, &text, &problem.to_string());
                None
            }
        }
    }

    pub(super) fn database_url(&mut self, name: &str) -> Option<ConnectOptions> {
        let (key, text) = self.text(name)?;
        match ConnectOptions::from_str(&text) {
            Ok(options) => Some(options),
            Err(problem) => {
                self.refuse(key, &text, &problem.to_string());
                None
            }
        }
    }

    /// Returns a loopback address. Other addresses are refused because the API has no authentication yet.
    pub(super) fn loopback(&mut self, name: &str) -> SocketAddr {
        let harmless = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let Some((key, text)) = self.text(name) else { return harmless };
        let named = text.strip_prefix("localhost:").map(|port| format!("127.0.0.1:{port}"));
        match named.as_deref().unwrap_or(&text).parse::<SocketAddr>() {
            Ok(address) if address.ip().is_loopback() => address,
            Ok(address) => {
                self.refuse(
                    key,
                    &text,
                    &format!(
                        "Millstream listens on loopback only, because it does not authenticate clients yet: use 127.0.0.1:{} \
                         behind a proxy that authenticates them",
                        address.port()
                    ),
                );
                harmless
            }
            Err(_) => {
                self.refuse(key, &text, "it must be an address and a port, like 127.0.0.1:8080");
                harmless
            }
        }
    }

    /// Returns a plain http URL. An empty value is the same as none.
    pub(super) fn http_url(&mut self, name: &str) -> Option<Url> {
        let (key, text) = self.text(name).filter(|(_, text)| !text.is_empty())?;
        match Url::parse(&text) {
            Ok(url) if url.scheme() == "http" && url.has_host() => Some(url),
            _ => {
                self.refuse(key, &text, "it must be a plain http URL, like http://127.0.0.1:4318");
                None
            }
        }
    }

    pub(super) fn log_filter(&mut self, name: &str) -> String {
        let Some((key, text)) = self.text(name) else { return String::new() };
        if let Err(problem) = EnvFilter::try_new(&text) {
            self.refuse(key, &text, &format!("invalid log filter: {problem}"));
        }
        text
    }
}
