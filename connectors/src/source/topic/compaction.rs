//! The check that a topic of change records is a log, not a table with the latest record of each key.

use millstream_pipeline::source::SourceError;
use rdkafka::admin::{AdminClient, AdminOptions, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::FromClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode as Code;

use super::client;
use super::errors::classify;
use super::options::KafkaSourceOptions;
use crate::source::failure::SourceFailure;

/// Refuses a compacted topic. Compaction keeps the latest record of a key, but an edit does not replace the rename
/// before it. If the role may not read the topic's settings, the check logs a warning and passes.
pub(super) async fn check(options: &KafkaSourceOptions) -> Result<(), SourceFailure> {
    let action = format!("reading the settings of topic {}", options.topic);
    let admin: AdminClient<DefaultClientContext> =
        AdminClient::from_config(&client::admin(options)).map_err(|error| classify(&action, &error))?;
    let limit = AdminOptions::new().request_timeout(Some(options.answer_timeout));
    let response = admin.describe_configs([&ResourceSpecifier::Topic(&options.topic)], &limit).await;
    // Brokers report an error about the topic in either place.
    let resource = match response {
        Ok(described) => described.into_iter().next(),
        Err(error) => Some(Err(error.rdkafka_error_code().unwrap_or(Code::Fail))),
    };
    let resource = match resource {
        Some(Ok(resource)) => resource,
        Some(Err(Code::TopicAuthorizationFailed | Code::ClusterAuthorizationFailed)) => {
            tracing::warn!(
                topic = options.topic,
                "not allowed to read the topic's settings: make sure that it is not compacted"
            );
            return Ok(());
        }
        // The caller reports a topic that does not exist yet.
        Some(Err(Code::UnknownTopicOrPartition)) | None => return Ok(()),
        Some(Err(code)) => return Err(classify(&action, &KafkaError::AdminOp(code))),
    };
    let policy = resource.get("cleanup.policy").and_then(|entry| entry.value.clone()).unwrap_or_default();
    if !policy.contains("compact") {
        return Ok(());
    }
    Err(SourceFailure::Stop(SourceError::Refused {
        what: format!("reading topic {}", options.topic),
        detail: format!(
            "its cleanup.policy is {policy}, and compaction removes changes that are still pending: set it to delete, with \
             a retention.ms as long as a reader may be away, then compare all documents"
        ),
    }))
}
