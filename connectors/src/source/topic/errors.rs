//! Classification of Kafka errors for the source.

use millstream_pipeline::source::SourceError;
use rdkafka::error::KafkaError;

use crate::kafka::errors::{ErrorClass, describe, error_class};
use crate::source::failure::SourceFailure;

/// Classifies an error of the operation `what`. Every error that is not listed is retried: the status shows it, and
/// waiting loses nothing.
pub(super) fn classify(what: &str, error: &KafkaError) -> SourceFailure {
    let refused = |detail: String| SourceFailure::Stop(SourceError::Refused { what: what.to_owned(), detail });
    match error.rdkafka_error_code().map(error_class) {
        Some(ErrorClass::OffsetLost) => SourceFailure::Stop(SourceError::Lost {
            what: what.to_owned(),
            detail: "the topic no longer has the next records: its retention has deleted them, or it was recreated. \
                     Compare all documents, and give the topic a longer retention"
                .to_owned(),
        }),
        Some(
            ErrorClass::AccessDenied
            | ErrorClass::Misconfigured
            | ErrorClass::PolicyViolation
            | ErrorClass::ClientFailed,
        ) => refused(describe(error)),
        // Errors without a code are about the client's configuration.
        None if matches!(error, KafkaError::ClientConfig(..) | KafkaError::ClientCreation(_)) => {
            refused(describe(error))
        }
        _ => SourceFailure::Retry(format!("{what}: {}", describe(error))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rdkafka::types::RDKafkaErrorCode as Code;

    #[test]
    fn each_error_code_has_its_class() {
        let class = |code| match classify("reading topic t", &KafkaError::MessageConsumption(code)) {
            SourceFailure::Retry(_) => "retry",
            SourceFailure::Stop(SourceError::Lost { .. }) => "lost",
            SourceFailure::Stop(SourceError::Refused { .. }) => "refused",
            SourceFailure::Stop(_) => "something else",
        };
        for (code, expected) in [
            (Code::AllBrokersDown, "retry"),
            (Code::BrokerTransportFailure, "retry"),
            (Code::OperationTimedOut, "retry"),
            (Code::UnknownTopicOrPartition, "retry"),
            // A broker that has just started may not know its users yet.
            (Code::Authentication, "retry"),
            (Code::AutoOffsetReset, "lost"),
            (Code::OffsetOutOfRange, "lost"),
            (Code::TopicAuthorizationFailed, "refused"),
            (Code::GroupAuthorizationFailed, "refused"),
        ] {
            assert_eq!(class(code), expected, "{code:?}");
        }
    }
}
