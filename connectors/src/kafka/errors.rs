//! What an error of Kafka means for a delivery: one table, and nobody else decides.

use millstream_pipeline::queue::QueueError;
use millstream_pipeline::sink::{Outcome, RetryCause};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::types::RDKafkaErrorCode as Code;

use super::client::Observer;

/// What became of one record, by its own report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Refused, and would be again.
    Rejected,
    /// To be sent again.
    Retry(RetryCause),
    /// It only fell with the transaction that it was part of.
    Innocent,
}

/// The table. What it does not name is taken for this document's fault: it counts an attempt and ends in quarantine.
pub(crate) fn verdict(code: Code) -> Verdict {
    match code {
        Code::MessageSizeTooLarge
        | Code::InvalidMessageSize
        | Code::InvalidRecord
        | Code::InvalidTimestamp
        | Code::PolicyViolation => Verdict::Rejected,
        Code::QueueFull | Code::ThrottlingQuotaExceeded => Verdict::Retry(RetryCause::Throttled),
        Code::MessageTimedOut
        | Code::OperationTimedOut
        | Code::RequestTimedOut
        | Code::TimedOutQueue
        | Code::NotEnoughReplicasAfterAppend => Verdict::Retry(RetryCause::Unanswered),
        Code::PurgeQueue | Code::PurgeInflight => Verdict::Innocent,
        code if unreachable(code) => Verdict::Retry(RetryCause::Unavailable),
        _ => Verdict::Retry(RetryCause::Failed),
    }
}

/// Nothing can be written now, whatever the document.
fn unreachable(code: Code) -> bool {
    matches!(
        code,
        Code::AllBrokersDown
            | Code::BrokerTransportFailure
            | Code::BrokerNotAvailable
            | Code::Resolve
            | Code::SSL
            | Code::Authentication
            | Code::SaslAuthenticationFailed
            | Code::TopicAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::TransactionalIdAuthorizationFailed
            | Code::UnknownTopic
            | Code::UnknownPartition
            | Code::UnknownTopicOrPartition
            | Code::LeaderNotAvailable
            | Code::NotLeaderForPartition
            | Code::NotEnoughReplicas
            | Code::KafkaStorageError
            | Code::CoordinatorNotAvailable
            | Code::CoordinatorLoadInProgress
            | Code::NotCoordinator
            | Code::NetworkException
            | Code::Fenced
            | Code::ProducerFenced
            | Code::InvalidProducerEpoch
            | Code::State
            // The producer's own state: rolling back, or a new producer, puts it right.
            | Code::BrokerDestroy
            | Code::ConcurrentTransactions
            | Code::DuplicateSequenceNumber
            | Code::Fatal
            | Code::Inconsistent
            | Code::InvalidProducerIdMapping
            | Code::InvalidTransactionalState
            | Code::OutOfOrderSequenceNumber
            | Code::Outdated
            | Code::Retry
            | Code::TransactionCoordinatorFenced
            | Code::UnknownProducerId
    )
}

/// The outcome of a record that was not written. `all_down`: no broker can be reached, so that a missing answer means
/// that nothing was asked.
pub(crate) fn outcome(error: &KafkaError, all_down: bool) -> Outcome {
    let reason = describe(error);
    // An error without a code is the binding's own: the report did not come.
    let Some(code) = error.rdkafka_error_code() else { return Outcome::retry(RetryCause::Unanswered, reason) };
    match verdict(code) {
        Verdict::Rejected => Outcome::Rejected { reason },
        Verdict::Retry(RetryCause::Unanswered) if all_down => Outcome::retry(RetryCause::Unavailable, reason),
        Verdict::Retry(cause) => Outcome::retry(cause, reason),
        Verdict::Innocent => Outcome::retry(RetryCause::Unavailable, reason),
    }
}

/// The error in words, without librdkafka's wrapping.
pub(crate) fn describe(error: &KafkaError) -> String {
    match error {
        KafkaError::Transaction(error) => error.string(),
        // The display of this one repeats the value, which may be a secret.
        KafkaError::ClientConfig(_, _, key, _) => format!("the property {key} is not accepted"),
        other => other.rdkafka_error_code().map_or_else(|| other.to_string(), |code| code.to_string()),
    }
}

/// Turns results of a client into results of the queue.
pub(crate) trait QueueResultExt<T> {
    /// A failure of `action` means that the brokers cannot be worked with now.
    fn during(self, action: &'static str, observer: &Observer) -> Result<T, QueueError>;

    /// A failure to create a client, or to hand it a list of partitions, means that the options cannot be used. No
    /// broker was involved.
    fn client_created(self) -> Result<T, QueueError>;
}

impl<T> QueueResultExt<T> for KafkaResult<T> {
    fn during(self, action: &'static str, observer: &Observer) -> Result<T, QueueError> {
        self.map_err(|error| QueueError::Unavailable { action, detail: observer.explain(&describe(&error)) })
    }

    fn client_created(self) -> Result<T, QueueError> {
        self.map_err(|error| QueueError::Unfit {
            what: "the connection to the brokers".to_owned(),
            differences: vec![format!("no client can be created: {}", describe(&error))],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_judged_as_the_table_says() {
        let cause = |code| match outcome(&KafkaError::MessageProduction(code), false) {
            Outcome::Retry { cause, .. } => Some(cause),
            Outcome::Rejected { .. } => None,
            other => panic!("an error is never {other:?}"),
        };
        for (code, expected) in [
            (Code::MessageSizeTooLarge, None),
            (Code::InvalidRecord, None),
            (Code::PolicyViolation, None),
            (Code::QueueFull, Some(RetryCause::Throttled)),
            (Code::ThrottlingQuotaExceeded, Some(RetryCause::Throttled)),
            (Code::MessageTimedOut, Some(RetryCause::Unanswered)),
            (Code::NotEnoughReplicasAfterAppend, Some(RetryCause::Unanswered)),
            (Code::AllBrokersDown, Some(RetryCause::Unavailable)),
            (Code::NotEnoughReplicas, Some(RetryCause::Unavailable)),
            (Code::TopicAuthorizationFailed, Some(RetryCause::Unavailable)),
            (Code::Fenced, Some(RetryCause::Unavailable)),
            (Code::OutOfOrderSequenceNumber, Some(RetryCause::Unavailable)),
            (Code::InvalidMessage, Some(RetryCause::Failed)),
        ] {
            assert_eq!(cause(code), expected, "{code:?}");
        }
    }

    #[test]
    fn a_timeout_with_no_broker_left_was_not_sent() {
        let timed_out = KafkaError::MessageProduction(Code::MessageTimedOut);
        assert!(matches!(outcome(&timed_out, true), Outcome::Retry { cause: RetryCause::Unavailable, .. }));
    }
}
