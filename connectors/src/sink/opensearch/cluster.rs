//! What the sinks, the generations and the searches of one prefix share.

use std::sync::Mutex;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use millstream_pipeline::sink::SinkError;

use super::client::{Answer, Client, NoAnswer, excerpt};
use super::names::Names;
use super::options::{OpenSearchOptions, OptionsError};
use super::request::Request;
use super::types::Types;
use super::whose::Known;

/// Point-in-time searches came with it.
const VERSION_MIN: (u32, u32) = (2, 4);

/// One cluster and the names under one prefix of it.
pub(super) struct Cluster {
    pub(super) client: Client,
    pub(super) names: Names,
    pub(super) types: Types,
    pub(super) options: OpenSearchOptions,
    /// Whether the indexes are of this database.
    pub(super) whose: Mutex<Known>,
}

#[derive(Deserialize)]
struct About {
    version: Version,
}

#[derive(Deserialize)]
struct Version {
    #[serde(default)]
    distribution: String,
    number: String,
}

impl Cluster {
    pub(super) fn new(options: OpenSearchOptions) -> Result<Self, OptionsError> {
        let client = Client::new(&options)?;
        let types = Types::of(&options.model)?;
        let names = Names::new(&options.prefix);
        Ok(Self { client, names, types, options, whose: Mutex::default() })
    }

    /// Without secrets: the options refuse an address that has one.
    pub(super) fn describe(&self) -> String {
        format!("OpenSearch {} at {}", self.options.prefix, self.options.url)
    }

    /// Any answer at all.
    pub(super) async fn ask(&self, request: Request) -> Result<Answer, SinkError> {
        let unavailable = |no_answer: NoAnswer| self.unavailable(no_answer.reason());
        self.client.send(request).await.map_err(unavailable)
    }

    /// An answer that says yes.
    pub(super) async fn expect(&self, request: Request, otherwise: &str) -> Result<Answer, SinkError> {
        let answer = self.ask(request).await?;
        if answer.is_ok() { Ok(answer) } else { Err(self.refused(&answer, otherwise)) }
    }

    /// What an answer that says yes holds.
    pub(super) fn read<T: DeserializeOwned>(&self, answer: Answer, otherwise: &str) -> Result<T, SinkError> {
        if !answer.is_ok() {
            return Err(self.refused(&answer, otherwise));
        }
        serde_json::from_slice(&answer.body)
            .map_err(|error| self.broken(format!("{otherwise}: {error} in {}", excerpt(&answer.text()))))
    }

    /// What an answer that says no means for whoever has to do something about it.
    pub(super) fn refused(&self, answer: &Answer, what: &str) -> SinkError {
        let reason = format!("{what}: {}", answer.complaint());
        match answer.status {
            408 | 429 | 500..=599 => self.unavailable(reason),
            401 => self.unfit(vec![format!("{reason}; check the user and the password")]),
            403 => self.unfit(vec![format!("{reason}; the user needs the right to do that")]),
            _ => self.unfit(vec![reason]),
        }
    }

    pub(super) fn unavailable(&self, reason: String) -> SinkError {
        SinkError::Unavailable { sink: self.describe(), reason }
    }

    pub(super) fn unfit(&self, differences: Vec<String>) -> SinkError {
        SinkError::Unfit { sink: self.describe(), differences }
    }

    pub(super) fn broken(&self, reason: String) -> SinkError {
        SinkError::Broken { sink: self.describe(), reason }
    }

    /// Whether this is a server that we can work with.
    pub(super) async fn check_version(&self) -> Result<(), SinkError> {
        let about: About = self.read(self.ask(Request::get(&[])).await?, "the server did not say what it is")?;
        let Version { distribution, number } = about.version;
        let mut parts = number.split('.').map(str::parse::<u32>);
        let (Some(Ok(major)), Some(Ok(minor))) = (parts.next(), parts.next()) else {
            return Err(self.broken(format!("it says that its version is {:?}", excerpt(&number))));
        };
        if distribution != "opensearch" || (major, minor) < VERSION_MIN {
            let (least_major, least_minor) = VERSION_MIN;
            let is = if distribution.is_empty() { "no OpenSearch" } else { &distribution };
            return Err(self.unfit(vec![format!(
                "the server is {is} {number}: it has to be OpenSearch {least_major}.{least_minor} or newer"
            )]));
        }
        Ok(())
    }
}
