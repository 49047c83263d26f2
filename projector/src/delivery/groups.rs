//! Grouping entries into requests: new entries together, those of timed-out requests in ever smaller groups.
//!
//! A timed-out request cannot be attributed to one document. Sending each of its documents alone would answer one
//! timeout with thousands of requests, so they are divided into a few smaller groups, and those again, until the
//! document that causes the timeout is alone and all others are delivered.

use millstream_pipeline::queue::Taken;
use std::collections::BTreeMap;

/// Number of groups that a timed-out request is divided into. With 8, the cause among 4,000 documents is alone after
/// three more timeouts, and no timeout costs more than eight requests.
const PARTS: usize = 8;

/// Divides entries taken from a lane: first one group of those without a timeout, then those whose last request timed
/// out, in groups of a part of its size, the smallest last. `timed_out_with` returns that size.
pub(super) fn groups(batch: Vec<Taken>, timed_out_with: impl Fn(i64) -> Option<usize>) -> Vec<Vec<Taken>> {
    let mut unsuspected = Vec::new();
    let mut suspects: BTreeMap<usize, Vec<Taken>> = BTreeMap::new();
    for taken in batch {
        match timed_out_with(taken.work.document_id) {
            None => unsuspected.push(taken),
            Some(size) => suspects.entry(size.div_ceil(PARTS)).or_default().push(taken),
        }
    }
    let mut groups = Vec::new();
    if !unsuspected.is_empty() {
        groups.push(unsuspected);
    }
    for (size, suspects) in suspects.into_iter().rev() {
        let mut rest = suspects.into_iter().peekable();
        while rest.peek().is_some() {
            groups.push(rest.by_ref().take(size).collect());
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::super::timeout_attribution::tests::taken;
    use super::*;
    use std::collections::HashMap;

    fn batch(ids: std::ops::Range<i64>) -> Vec<Taken> {
        ids.map(|document_id| taken(document_id, 0)).collect()
    }

    fn sizes(groups: &[Vec<Taken>]) -> Vec<usize> {
        groups.iter().map(Vec::len).collect()
    }

    #[test]
    fn new_entries_go_first_and_together() {
        assert!(groups(Vec::new(), |_| None).is_empty());
        assert_eq!(sizes(&groups(batch(0..100), |_| None)), [100]);
        let suspect = |id| (id >= 90).then_some(if id == 99 { 3 } else { 40 });
        let groups = groups(batch(0..100), suspect);
        assert_eq!(sizes(&groups), [90, 5, 4, 1]);
        assert_eq!(groups[3][0].work.document_id, 99, "the smallest group is the most suspect");
    }

    #[test]
    fn a_document_that_causes_timeouts_is_soon_alone_after_few_requests() {
        let (mut sizes, mut waiting) = (HashMap::new(), batch(0..4_000));
        let (mut requests, mut timeouts) = (0, 0);
        loop {
            let known = sizes.clone();
            let mut again = Vec::new();
            for group in groups(waiting, |id| known.get(&id).copied()) {
                requests += 1;
                if !group.iter().any(|taken| taken.work.document_id == 1_234) {
                    continue;
                }
                timeouts += 1;
                if group.len() == 1 {
                    assert_eq!((requests, timeouts), (31, 5));
                    return;
                }
                sizes.extend(group.iter().map(|taken| (taken.work.document_id, group.len())));
                again = group;
            }
            waiting = again;
        }
    }
}
