//! The entrance of the crate `fuzz` to the records of the documents topic.

use millstream_pipeline::sink::Content;
use millstream_schema::apischema::ResourceKey;
use rdkafka::Timestamp;
use rdkafka::message::OwnedMessage;

use super::envelope::{ResourceNames, decode};

/// The names of the resources of a schema.
pub struct Names(ResourceNames);

impl Names {
    /// Prepares the names.
    pub fn new(resources: &[ResourceKey]) -> Self {
        Self(ResourceNames::new(resources))
    }

    /// Decodes a record of the documents topic.
    ///
    /// # Panics
    /// When the document is not a part of the record.
    pub fn document_record(&self, key: &[u8], value: &[u8]) {
        let (key, payload) = (Some(key.to_vec()), Some(value.to_vec()));
        let message = OwnedMessage::new(payload, key, String::new(), Timestamp::NotAvailable, 0, 0, None);
        if let Ok(held) = decode(&message, &self.0) {
            let length = if let Content::Document(document) = &held.content { document.len() } else { 0 };
            assert!(length <= value.len(), "a document longer than its record");
        }
    }
}

impl std::fmt::Debug for Names {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Names").finish_non_exhaustive()
    }
}
