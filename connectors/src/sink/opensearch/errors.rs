//! What an answer of the node means for a delivery: two tables, and nobody else decides.

use millstream_pipeline::sink::{Outcome, RetryCause};

use super::client::{BulkAnswer, complaint, excerpt};
use super::items::Item;

/// What one item's answer means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is the delivery's own.
    Answered(Outcome),
    /// There is no index for its type yet: to be made, and put again.
    NoIndex,
}

/// What the answer to the whole request means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Whole {
    /// Each item has its own.
    ByItem,
    /// The request could not be read or is too large: each half may fare better, and one alone is refused.
    Refused(String),
    /// The same for all.
    All(Outcome),
}

/// The table for items. What is nobody's fault counts no attempt; what it does not name is taken for the document's.
pub(super) fn item(item: &Item) -> Verdict {
    let kind = item.error.as_ref().map(|error| error.kind.as_str());
    let reason = || {
        let words = item.error.as_ref().map_or_else(String::new, |error| format!(", {}", error.words()));
        excerpt(&format!("status {}{words}", item.status)).to_owned()
    };
    Verdict::Answered(match (item.status, kind) {
        (200..=299, _) => Outcome::Done,
        // A delete of what was not there; its version is kept all the same.
        (404, None) => Outcome::Done,
        (404, Some("index_not_found_exception")) => return Verdict::NoIndex,
        (409, _) => Outcome::Superseded,
        (429 | 503, _) => Outcome::retry(RetryCause::Throttled, reason()),
        // We may not write, or nobody may: an index that is blocked because the disk is full, for instance.
        (401 | 403, _) => Outcome::retry(RetryCause::Unavailable, reason()),
        (404 | 408, _) => Outcome::retry(RetryCause::Failed, reason()),
        (400..=499, _) => Outcome::Rejected { reason: reason() },
        _ => Outcome::retry(RetryCause::Failed, reason()),
    })
}

/// The table for requests.
pub(super) fn whole(answer: &BulkAnswer) -> Whole {
    let reason = || match &answer.retry_after {
        Some(later) => format!("{} (to be tried again after {later})", complaint(answer.status, &answer.body)),
        None => complaint(answer.status, &answer.body),
    };
    match answer.status {
        200..=299 => Whole::ByItem,
        400 | 413 => Whole::Refused(reason()),
        429 | 503 => Whole::All(Outcome::retry(RetryCause::Throttled, reason())),
        // Between us and the node something may have given up on a request that the node carries out.
        500..=599 => Whole::All(Outcome::retry(RetryCause::Unanswered, reason())),
        _ => Whole::All(Outcome::retry(RetryCause::Unavailable, reason())),
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

    fn judged(status: u16, kind: Option<&str>) -> Verdict {
        let error = kind.map_or(String::new(), |kind| format!(",\"error\":{{\"type\":\"{kind}\",\"reason\":\"why\"}}"));
        let text = format!("{{\"items\":[{{\"index\":{{\"status\":{status}{error}}}}}]}}");
        item(&super::super::items::read(text.as_bytes()).0[0])
    }

    #[test]
    fn items_are_judged_as_the_table_says() {
        for status in [200, 201] {
            assert_eq!(judged(status, None), Verdict::Answered(Outcome::Done));
        }
        assert_eq!(judged(404, None), Verdict::Answered(Outcome::Done));
        assert_eq!(judged(404, Some("index_not_found_exception")), Verdict::NoIndex);
        assert_eq!(judged(409, Some("version_conflict_engine_exception")), Verdict::Answered(Outcome::Superseded));
        let refused = Outcome::Rejected { reason: "status 400, mapper_parsing_exception: why".to_owned() };
        assert_eq!(judged(400, Some("mapper_parsing_exception")), Verdict::Answered(refused));
        for (status, expected) in [
            (429, RetryCause::Throttled),
            (503, RetryCause::Throttled),
            (403, RetryCause::Unavailable),
            (500, RetryCause::Failed),
            (302, RetryCause::Failed),
        ] {
            let Verdict::Answered(outcome) = judged(status, Some("x")) else { panic!("an answer") };
            assert_eq!(cause(&outcome), Some(expected), "{status}");
        }
    }

    #[test]
    fn requests_are_judged_as_the_table_says() {
        let answer = |status| BulkAnswer {
            status,
            body: Bytes::from_static(b"{\"error\":{\"type\":\"x\",\"reason\":\"why\"}}"),
            cut: None,
            retry_after: Some("7".to_owned()),
        };
        assert_eq!(whole(&answer(200)), Whole::ByItem);
        assert!(matches!(whole(&answer(413)), Whole::Refused(_)));
        for (status, expected) in [
            (429, RetryCause::Throttled),
            (503, RetryCause::Throttled),
            (502, RetryCause::Unanswered),
            (401, RetryCause::Unavailable),
            (302, RetryCause::Unavailable),
        ] {
            let Whole::All(Outcome::Retry { cause, reason }) = whole(&answer(status)) else {
                panic!("the same for all")
            };
            assert_eq!(cause, expected, "{status}");
            assert_eq!(reason, format!("status {status}, x: why (to be tried again after 7)"));
        }
    }
}
