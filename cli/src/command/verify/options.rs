//! Options of `millstream verify`.

use super::scope::Selected;
use crate::args::VerifyArguments;
use std::time::Duration;

/// Options of an audit.
#[derive(Debug, Clone, Default)]
pub struct VerifyOptions {
    /// Time for a running Millstream to empty its queues.
    pub wait: Duration,
    /// Print JSON.
    pub json: bool,
    /// Compare only this sink; `none` for no sink.
    pub sink: Option<String>,
    /// The documents to verify.
    pub documents: Selected,
    /// Repair what differs.
    pub repair: bool,
    /// Only say what a repair would do.
    pub dry_run: bool,
}

impl From<VerifyArguments> for VerifyOptions {
    fn from(arguments: VerifyArguments) -> Self {
        let VerifyArguments { json, wait_s, sink, document, resource, sample, repair, dry_run } = arguments;
        let documents = match (resource, sample) {
            (Some(name), _) => Selected::Resource(name),
            (None, Some(count)) => Selected::Sample(count),
            (None, None) if document.is_empty() => Selected::All,
            (None, None) => Selected::Documents(document),
        };
        Self { wait: Duration::from_secs(wait_s), json, sink, documents, repair, dry_run }
    }
}
