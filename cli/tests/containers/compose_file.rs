//! A compose file, reduced to the members that the checks read.

use serde::Deserialize;
use std::collections::BTreeMap;

/// Marks a required variable, as in `${NAME:?message}`.
const REQUIRED: &str = ":?";

/// The whole file.
#[derive(Debug, Deserialize)]
pub(crate) struct Compose {
    pub(crate) services: BTreeMap<String, Service>,
}

/// One service. Members that no check reads are left out.
#[derive(Debug, Deserialize)]
pub(crate) struct Service {
    pub(crate) image: String,
    #[serde(default)]
    command: Option<Vec<String>>,
    #[serde(default)]
    pub(crate) environment: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) ports: Vec<String>,
    #[serde(default)]
    pub(crate) volumes: Vec<String>,
    pub(crate) healthcheck: Option<HealthCheck>,
    #[serde(default)]
    pub(crate) depends_on: BTreeMap<String, Dependency>,
    #[serde(default)]
    pub(crate) network_mode: Option<String>,
    #[serde(default)]
    pub(crate) restart: Option<String>,
}

/// Health check of a service.
#[derive(Debug, Deserialize)]
pub(crate) struct HealthCheck {
    #[serde(default)]
    pub(crate) test: Vec<String>,
    #[serde(default)]
    pub(crate) disable: bool,
}

/// Condition of another service for the start of this one.
#[derive(Debug, Deserialize)]
pub(crate) struct Dependency {
    pub(crate) condition: String,
}

impl Compose {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        serde_saphyr::from_str(text).map_err(|error| error.to_string())
    }

    /// Returns the services that run the Millstream image.
    pub(crate) fn millstream(&self) -> impl Iterator<Item = (&String, &Service)> {
        self.services.iter().filter(|(_, service)| service.is_millstream())
    }

    /// Returns whether a service of this file listens at `host:port`, as seen from the network of the services or from
    /// the host network.
    pub(crate) fn answers(&self, address: &str, on_host: bool) -> bool {
        let Some((host, port)) = address.rsplit_once(':') else { return false };
        if on_host {
            return host == "127.0.0.1" && self.services.values().any(|one| one.publishes(port));
        }
        self.services.get(host).is_some_and(|service| service.listens(port))
    }
}

impl Service {
    pub(crate) fn is_millstream(&self) -> bool {
        self.image.starts_with("millstream:")
    }

    pub(crate) fn command(&self) -> &[String] {
        self.command.as_deref().unwrap_or_default()
    }

    pub(crate) fn is_on_host(&self) -> bool {
        self.network_mode.as_deref() == Some("host")
    }

    /// Returns whether the service runs once and ends.
    pub(crate) fn ends(&self) -> bool {
        self.restart.as_deref() == Some("no")
    }

    fn publishes(&self, port: &str) -> bool {
        self.ports.iter().any(|published| published.starts_with(&format!("127.0.0.1:{port}:")))
    }

    /// Returns whether the container listens on a port: a published one, or one in its listener settings.
    fn listens(&self, port: &str) -> bool {
        let published = self.ports.iter().any(|published| published.ends_with(&format!(":{port}")));
        let configured = self.environment.iter().filter(|(name, _)| name.ends_with("LISTENERS"));
        published
            || configured.flat_map(|(_, listeners)| listeners.split(',')).any(|one| one.ends_with(&format!(":{port}")))
    }
}

/// Replaces each `${…}` with a placeholder; also returns the variables that are not required.
pub(crate) fn filled(text: &str) -> (String, Vec<String>) {
    let (mut out, mut optional, mut rest) = (String::new(), Vec::new(), text);
    while let Some((before, after)) = rest.split_once("${") {
        let (variable, after) = after.split_once('}').unwrap_or((after, ""));
        out.push_str(before);
        out.push_str("filled");
        match variable.split_once(REQUIRED) {
            Some((_, message)) if !message.is_empty() => {}
            _ => optional.push(variable.to_owned()),
        }
        rest = after;
    }
    out.push_str(rest);
    (out, optional)
}
