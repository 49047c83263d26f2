//! Classification of OpenSearch's errors: one table for items of a bulk, one for bulks, one for all other requests.

use millstream_pipeline::sink::{Outcome, RetryCause};

use super::client::{BulkResponse, error_summary, excerpt};
use super::items::BulkItem;

/// Error type: an index does not exist.
pub(super) const INDEX_NOT_FOUND: &str = "index_not_found_exception";
/// Error type: an index exists already.
pub(super) const ALREADY_EXISTS: &str = "resource_already_exists_exception";
/// Error type: a search failed on shards.
pub(super) const SEARCH_FAILED: &str = "search_phase_execution_exception";
/// Error types of an alias update whose condition does not hold.
pub(super) const UNMET_CONDITION: [&str; 2] = ["aliases_not_found_exception", INDEX_NOT_FOUND];

/// The class of one item's result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ItemStatus {
    /// The outcome of the delivery.
    Final(Outcome),
    /// The index of its resource does not exist yet: create it and send the item again.
    NoIndex,
    /// Too large: send it again alone; a single document is rejected.
    TooLarge(String),
}

/// The class of a bulk response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum BulkStatus {
    /// Each item has its own result.
    ByItem,
    /// The request is malformed: send it again in halves; a single document is rejected.
    Refused(String),
    /// The request is too large: send it again in halves.
    TooLarge(String),
    /// The same outcome for all items.
    All(Outcome),
}

/// The class of an unsuccessful response to any other request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// A retry may succeed.
    Transient,
    /// The credentials are wrong.
    Unauthenticated,
    /// The user lacks a privilege.
    Forbidden,
    /// An operator has to act.
    Permanent,
}

/// Classifies the status of an unsuccessful response.
pub(super) fn classify_refusal(status: u16) -> Refusal {
    match status {
        402 | 408 | 429 | 500..=599 => Refusal::Transient,
        401 => Refusal::Unauthenticated,
        403 => Refusal::Forbidden,
        _ => Refusal::Permanent,
    }
}

/// Whether the cluster, or a service in front of it, has no capacity now: a quota, the rate, the disk. It says nothing
/// about a document.
const fn is_capacity(status: u16) -> bool {
    matches!(status, 402 | 429 | 503 | 507)
}

/// Classifies an item. Failures of the cluster count no attempt. Only statuses that judge the content of a document
/// reject it; an unlisted status of the server counts an attempt.
pub(super) fn classify_item(item: &BulkItem) -> ItemStatus {
    let kind = item.error.as_ref().map(|error| error.kind.as_str());
    let reason = || {
        let message = item.error.as_ref().map_or_else(String::new, |error| format!(", {}", error.message()));
        excerpt(&format!("status {}{message}", item.status)).to_owned()
    };
    ItemStatus::Final(match (item.status, kind) {
        (200..=299, _) => Outcome::Done,
        // A delete of a missing document; the node still keeps its version.
        (404, None) => Outcome::Done,
        (404, Some(INDEX_NOT_FOUND)) => return ItemStatus::NoIndex,
        (409, _) => Outcome::Superseded,
        (status, _) if is_capacity(status) => Outcome::retry(RetryCause::Throttled, reason()),
        (413, _) => return ItemStatus::TooLarge(reason()),
        (400 | 422, _) => Outcome::Rejected { reason: reason() },
        (404 | 408, _) => Outcome::retry(RetryCause::Failed, reason()),
        // Writes are forbidden for this user or for all users, for example because the disk is full. Other statuses of
        // this class are about the request or come from a proxy.
        (400..=499, _) => Outcome::retry(RetryCause::Unavailable, reason()),
        _ => Outcome::retry(RetryCause::Failed, reason()),
    })
}

/// Classifies a bulk response.
pub(super) fn classify_bulk(response: &BulkResponse) -> BulkStatus {
    let reason = || match &response.retry_after {
        Some(later) => format!("{} (retry after {later})", error_summary(response.status, &response.body)),
        None => error_summary(response.status, &response.body),
    };
    match response.status {
        200..=299 => BulkStatus::ByItem,
        400 => BulkStatus::Refused(reason()),
        413 => BulkStatus::TooLarge(reason()),
        status if is_capacity(status) => BulkStatus::All(Outcome::retry(RetryCause::Throttled, reason())),
        // A proxy may have given up on a request that the node still carries out.
        500..=599 => BulkStatus::All(Outcome::retry(RetryCause::Unanswered, reason())),
        _ => BulkStatus::All(Outcome::retry(RetryCause::Unavailable, reason())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn cause(outcome: &Outcome) -> Option<RetryCause> {
        match outcome {
            Outcome::Retry { cause, .. } => Some(*cause),
            _ => None,
        }
    }

    fn class(status: u16, kind: Option<&str>) -> ItemStatus {
        let error = kind.map_or(String::new(), |kind| format!(",\"error\":{{\"type\":\"{kind}\",\"reason\":\"why\"}}"));
        let text = format!("{{\"items\":[{{\"index\":{{\"status\":{status}{error}}}}}]}}");
        classify_item(&super::super::items::read(text.as_bytes()).0[0])
    }

    #[test]
    fn items_are_classified_as_the_table_says() {
        for status in [200, 201] {
            assert_eq!(class(status, None), ItemStatus::Final(Outcome::Done));
        }
        assert_eq!(class(404, None), ItemStatus::Final(Outcome::Done));
        assert_eq!(class(404, Some(INDEX_NOT_FOUND)), ItemStatus::NoIndex);
        assert_eq!(class(409, Some("version_conflict_engine_exception")), ItemStatus::Final(Outcome::Superseded));
        let refused = Outcome::Rejected { reason: "status 400, mapper_parsing_exception: why".to_owned() };
        assert_eq!(class(400, Some("mapper_parsing_exception")), ItemStatus::Final(refused));
        assert_eq!(class(413, Some("x")), ItemStatus::TooLarge("status 413, x: why".to_owned()));
        for (status, expected) in [
            (402, RetryCause::Throttled),
            (429, RetryCause::Throttled),
            (503, RetryCause::Throttled),
            (507, RetryCause::Throttled),
            (405, RetryCause::Unavailable),
            (451, RetryCause::Unavailable),
            (403, RetryCause::Unavailable),
            (500, RetryCause::Failed),
            (302, RetryCause::Failed),
        ] {
            let ItemStatus::Final(outcome) = class(status, Some("x")) else { panic!("an outcome") };
            assert_eq!(cause(&outcome), Some(expected), "{status}");
        }
    }

    #[test]
    fn requests_are_classified_as_the_table_says() {
        let response = |status| BulkResponse {
            status,
            body: Bytes::from_static(b"{\"error\":{\"type\":\"x\",\"reason\":\"why\"}}"),
            truncated: None,
            retry_after: Some("7".to_owned()),
        };
        assert_eq!(classify_bulk(&response(200)), BulkStatus::ByItem);
        assert!(matches!(classify_bulk(&response(400)), BulkStatus::Refused(_)));
        assert!(matches!(classify_bulk(&response(413)), BulkStatus::TooLarge(_)));
        for (status, expected) in [
            (402, RetryCause::Throttled),
            (429, RetryCause::Throttled),
            (503, RetryCause::Throttled),
            (507, RetryCause::Throttled),
            (502, RetryCause::Unanswered),
            (401, RetryCause::Unavailable),
            (302, RetryCause::Unavailable),
        ] {
            let BulkStatus::All(Outcome::Retry { cause, reason }) = classify_bulk(&response(status)) else {
                panic!("the same for all")
            };
            assert_eq!(cause, expected, "{status}");
            assert_eq!(reason, format!("status {status}, x: why (retry after 7)"));
        }
    }
}
