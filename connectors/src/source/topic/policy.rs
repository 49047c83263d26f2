//! What an error of Kafka means for the source: one table, and nobody else decides.

use millstream_pipeline::source::SourceError;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode as Code;

use crate::kafka::errors::describe;

/// What to do after an error.
#[derive(Debug)]
pub(super) enum Verdict {
    /// Trying again may help.
    Retry(String),
    /// Somebody has to act.
    Stop(SourceError),
}

/// The table. What it does not name is tried again: it shows in the status, and nothing is lost by waiting.
pub(super) fn judge(what: &str, error: &KafkaError) -> Verdict {
    let refused = |detail: String| Verdict::Stop(SourceError::Refused { what: what.to_owned(), detail });
    match error.rdkafka_error_code() {
        Some(Code::AutoOffsetReset | Code::OffsetOutOfRange) => Verdict::Stop(SourceError::Lost {
            what: what.to_owned(),
            detail:
                "the topic does not have the next records any more: its retention has deleted them, or it was made \
                     anew. Compare all documents, and give the topic a longer retention"
                    .to_owned(),
        }),
        Some(code) if is_refusal(code) => refused(describe(error)),
        // Without a code it is what the client was told.
        None if matches!(error, KafkaError::ClientConfig(..) | KafkaError::ClientCreation(_)) => {
            refused(describe(error))
        }
        _ => Verdict::Retry(format!("{what}: {}", describe(error))),
    }
}

fn is_refusal(code: Code) -> bool {
    matches!(
        code,
        Code::TopicAuthorizationFailed
            | Code::GroupAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::InvalidTopic
            | Code::InvalidGroupId
            | Code::PolicyViolation
            | Code::UnsupportedVersion
            | Code::Fatal
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table() {
        let verdict = |code| match judge("reading topic t", &KafkaError::MessageConsumption(code)) {
            Verdict::Retry(_) => "retry",
            Verdict::Stop(SourceError::Lost { .. }) => "lost",
            Verdict::Stop(SourceError::Refused { .. }) => "refused",
            Verdict::Stop(_) => "something else",
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
            assert_eq!(verdict(code), expected, "{code:?}");
        }
    }
}
