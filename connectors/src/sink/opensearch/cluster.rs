//! The cluster: state that the sinks, the generations and the searches of one prefix share.

use std::time::Instant;

use parking_lot::Mutex;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use millstream_pipeline::sink::SinkError;

use super::client::{ApiResponse, ClusterClient, excerpt};
use super::document_types::DocumentTypes;
use super::errors::{Refusal, classify_refusal};
use super::names::IndexNames;
use super::options::{OpenSearchOptions, OpenSearchOptionsError};
use super::request::Request;

/// The first version with point-in-time searches.
const VERSION_MIN: (u32, u32) = (2, 4);

/// One cluster and the indexes under one prefix.
pub(super) struct Cluster {
    pub(super) client: ClusterClient,
    pub(super) names: IndexNames,
    pub(super) types: DocumentTypes,
    pub(super) options: OpenSearchOptions,
    /// Result of the last ownership check.
    pub(super) ownership: Mutex<Ownership>,
}

/// Result of the check that the indexes belong to this database.
#[derive(Debug, Clone, Copy, Default)]
pub(super) enum Ownership {
    /// Not checked yet, or the last check failed.
    #[default]
    Unknown,
    /// The indexes belong to this database.
    Own,
    /// The indexes do not name a database, or the user may not read the name. Holds the time of the check.
    Unstated(Instant),
}

#[derive(Deserialize)]
struct ServerInfo {
    version: ServerVersion,
}

#[derive(Deserialize)]
struct ServerVersion {
    #[serde(default)]
    distribution: String,
    number: String,
}

impl Cluster {
    pub(super) fn new(options: OpenSearchOptions) -> Result<Self, OpenSearchOptionsError> {
        let client = ClusterClient::new(&options)?;
        let types = DocumentTypes::of(&options.model)?;
        let names = IndexNames::new(&options.prefix);
        Ok(Self { client, names, types, options, ownership: Mutex::default() })
    }

    /// Returns a description for messages. It contains no secrets: the options reject a URL with a password.
    pub(super) fn describe(&self) -> String {
        format!("OpenSearch {} at {}", self.options.prefix, self.options.url)
    }

    /// Sends a request and returns the response, whatever its status.
    pub(super) async fn send(&self, request: Request) -> Result<ApiResponse, SinkError> {
        self.client.send(request).await.map_err(|error| self.unavailable(error.reason()))
    }

    /// Sends a request and returns the response, whatever its status; `None` if it has more than `bytes_max` bytes.
    pub(super) async fn send_within(
        &self,
        request: Request,
        bytes_max: usize,
    ) -> Result<Option<ApiResponse>, SinkError> {
        self.client.send_within(request, bytes_max).await.map_err(|error| self.unavailable(error.reason()))
    }

    /// Sends a request and returns the response if it was successful. `action` begins the error message.
    pub(super) async fn expect(&self, request: Request, action: &str) -> Result<ApiResponse, SinkError> {
        let response = self.send(request).await?;
        if response.is_ok() { Ok(response) } else { Err(self.refused(&response, action)) }
    }

    /// Parses a successful response.
    pub(super) fn parse<T: DeserializeOwned>(&self, response: ApiResponse, action: &str) -> Result<T, SinkError> {
        if !response.is_ok() {
            return Err(self.refused(&response, action));
        }
        serde_json::from_slice(&response.body)
            .map_err(|error| self.broken(format!("{action}: {error} in {}", excerpt(&response.text()))))
    }

    /// Converts an unsuccessful response to an error, with the remedy.
    pub(super) fn refused(&self, response: &ApiResponse, action: &str) -> SinkError {
        let reason = format!("{action}: {}", response.error_summary());
        match classify_refusal(response.status) {
            Refusal::Transient => self.unavailable(reason),
            Refusal::Unauthenticated => self.incompatible(vec![format!("{reason}; check the user and the password")]),
            Refusal::Forbidden => self.incompatible(vec![format!("{reason}; grant the user this privilege")]),
            Refusal::Permanent => self.incompatible(vec![reason]),
        }
    }

    pub(super) fn unavailable(&self, reason: String) -> SinkError {
        SinkError::Unavailable { sink: self.describe(), reason }
    }

    pub(super) fn incompatible(&self, differences: Vec<String>) -> SinkError {
        SinkError::Incompatible { sink: self.describe(), differences }
    }

    pub(super) fn broken(&self, reason: String) -> SinkError {
        SinkError::Broken { sink: self.describe(), reason }
    }

    /// Checks that the server is a supported OpenSearch version.
    pub(super) async fn check_version(&self) -> Result<(), SinkError> {
        let response = self.send(Request::get(&[])).await?;
        let info: ServerInfo = self.parse(response, "cannot read the server version")?;
        let ServerVersion { distribution, number } = info.version;
        let mut parts = number.split('.').map(str::parse::<u32>);
        let (Some(Ok(major)), Some(Ok(minor))) = (parts.next(), parts.next()) else {
            return Err(self.broken(format!("invalid version {:?}: expected MAJOR.MINOR", excerpt(&number))));
        };
        if distribution != "opensearch" || (major, minor) < VERSION_MIN {
            let (least_major, least_minor) = VERSION_MIN;
            let product = if distribution.is_empty() { "no distribution and version" } else { &distribution };
            return Err(self.incompatible(vec![format!(
                "the server reports {product} {number}: OpenSearch {least_major}.{least_minor} or newer is required"
            )]));
        }
        Ok(())
    }
}
