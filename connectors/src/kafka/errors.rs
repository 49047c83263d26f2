//! Classification of Kafka errors: one table for source, queue and sink.

use millstream_pipeline::queue::QueueError;
use millstream_pipeline::sink::{Outcome, RetryCause};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::types::RDKafkaErrorCode as Code;

use super::client::Observer;

/// The cause of an error, as far as the roles have to tell causes apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ErrorClass {
    /// The record was refused because of its size or content.
    InvalidRecord,
    /// A policy of the broker refused the request.
    PolicyViolation,
    /// The client's queue is full, or the broker limits the rate.
    Throttled,
    /// The response is missing: the request may have been executed.
    Unanswered,
    /// The record was removed from the client's queue with its transaction.
    Purged,
    /// The user may not do that.
    AccessDenied,
    /// No request succeeds now: brokers, leaders or coordinators are not available, or the state of the producer has to
    /// be reset by a rollback or a new producer.
    Unavailable,
    /// The client gave up; a new one is needed.
    ClientFailed,
    /// The configuration does not fit the brokers.
    Misconfigured,
    /// The records at the offset do not exist any more.
    OffsetLost,
    /// Not in the table.
    Other,
}

/// The table.
pub(crate) fn error_class(code: Code) -> ErrorClass {
    match code {
        Code::MessageSizeTooLarge | Code::InvalidMessageSize | Code::InvalidRecord | Code::InvalidTimestamp => {
            ErrorClass::InvalidRecord
        }
        Code::PolicyViolation => ErrorClass::PolicyViolation,
        Code::QueueFull | Code::ThrottlingQuotaExceeded => ErrorClass::Throttled,
        Code::MessageTimedOut
        | Code::OperationTimedOut
        | Code::RequestTimedOut
        | Code::TimedOutQueue
        | Code::NotEnoughReplicasAfterAppend => ErrorClass::Unanswered,
        Code::PurgeQueue | Code::PurgeInflight => ErrorClass::Purged,
        Code::TopicAuthorizationFailed | Code::ClusterAuthorizationFailed => ErrorClass::AccessDenied,
        Code::GroupAuthorizationFailed | Code::InvalidTopic | Code::InvalidGroupId | Code::UnsupportedVersion => {
            ErrorClass::Misconfigured
        }
        Code::Fatal => ErrorClass::ClientFailed,
        Code::AutoOffsetReset | Code::OffsetOutOfRange => ErrorClass::OffsetLost,
        code if is_unavailable(code) => ErrorClass::Unavailable,
        _ => ErrorClass::Other,
    }
}

fn is_unavailable(code: Code) -> bool {
    matches!(
        code,
        Code::AllBrokersDown
            | Code::BrokerTransportFailure
            | Code::BrokerNotAvailable
            | Code::Resolve
            | Code::SSL
            | Code::Authentication
            | Code::SaslAuthenticationFailed
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
            // The state of the producer.
            | Code::BrokerDestroy
            | Code::ConcurrentTransactions
            | Code::DuplicateSequenceNumber
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

/// The outcome of one record that was not written, by its delivery report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Refused; a retry would be refused too.
    Rejected,
    /// To be sent again.
    Retry(RetryCause),
    /// It only fell with the transaction that it was part of.
    Innocent,
}

/// Decides about a record that was not written. An unlisted error is attributed to the document: it counts an attempt, and
/// repeated ones end in quarantine.
pub(crate) fn verdict(code: Code) -> Verdict {
    match error_class(code) {
        ErrorClass::InvalidRecord | ErrorClass::PolicyViolation => Verdict::Rejected,
        ErrorClass::Throttled => Verdict::Retry(RetryCause::Throttled),
        ErrorClass::Unanswered => Verdict::Retry(RetryCause::Unanswered),
        ErrorClass::Purged => Verdict::Innocent,
        ErrorClass::Unavailable | ErrorClass::AccessDenied | ErrorClass::ClientFailed => {
            Verdict::Retry(RetryCause::Unavailable)
        }
        ErrorClass::Misconfigured | ErrorClass::OffsetLost | ErrorClass::Other => Verdict::Retry(RetryCause::Failed),
    }
}

/// Returns the outcome of a record that was not written. If `all_down`, no broker can be reached, so a missing response
/// means that the request was not sent.
pub(crate) fn outcome(error: &KafkaError, all_down: bool) -> Outcome {
    let reason = describe(error);
    // An error without a code comes from the binding: the delivery report is missing.
    let Some(code) = error.rdkafka_error_code() else { return Outcome::retry(RetryCause::Unanswered, reason) };
    match verdict(code) {
        Verdict::Rejected => Outcome::Rejected { reason },
        Verdict::Retry(RetryCause::Unanswered) if all_down => Outcome::retry(RetryCause::Unavailable, reason),
        Verdict::Retry(cause) => Outcome::retry(cause, reason),
        Verdict::Innocent => Outcome::retry(RetryCause::Unavailable, reason),
    }
}

/// Returns the error as text, without the binding's wrapping.
pub(crate) fn describe(error: &KafkaError) -> String {
    match error {
        KafkaError::Transaction(error) => error.string(),
        // Its `Display` repeats the value, which may be a secret.
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
        self.map_err(|error| QueueError::Incompatible {
            what: "the connection to the brokers".to_owned(),
            differences: vec![format!("no client can be created: {}", describe(&error))],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_classified_as_the_table_says() {
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
