//! Who goes to the sink together: what is new in one request, what was met with silence in ever smaller ones.
//!
//! A request without an answer names nobody. If each of its documents went alone next, a sink that fell silent over one
//! large request would be answered with thousands of small ones; so they go in a few smaller ones, each as large a part
//! of the last, until the document that is to blame stands alone and all others are done.

use millstream_pipeline::queue::Taken;
use std::collections::BTreeMap;

/// Into how many requests the documents of one that was not answered are divided. With 8, the one to blame of 4,000 is
/// alone after three more silences, and no silence costs more than eight requests.
const PARTS: usize = 8;

/// Divides what was taken from a lane: first what goes together because nothing is known of it, then those whose last
/// request was not answered, of which `company` says how many it carried, the most suspect last.
pub(super) fn groups(batch: Vec<Taken>, company: impl Fn(i64) -> Option<usize>) -> Vec<Vec<Taken>> {
    let mut unsuspected = Vec::new();
    let mut suspects: BTreeMap<usize, Vec<Taken>> = BTreeMap::new();
    for taken in batch {
        match company(taken.work.document_id) {
            None => unsuspected.push(taken),
            Some(company) => suspects.entry(company.div_ceil(PARTS)).or_default().push(taken),
        }
    }
    let mut groups = Vec::new();
    if !unsuspected.is_empty() {
        groups.push(unsuspected);
    }
    for (together, suspects) in suspects.into_iter().rev() {
        let mut rest = suspects.into_iter().peekable();
        while rest.peek().is_some() {
            groups.push(rest.by_ref().take(together).collect());
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
    fn what_is_new_goes_first_and_together() {
        assert!(groups(Vec::new(), |_| None).is_empty());
        assert_eq!(sizes(&groups(batch(0..100), |_| None)), [100]);
        let suspect = |id| (id >= 90).then_some(if id == 99 { 3 } else { 40 });
        let groups = groups(batch(0..100), suspect);
        assert_eq!(sizes(&groups), [90, 5, 4, 1]);
        assert_eq!(groups[3][0].work.document_id, 99, "whoever was in the smallest company is most suspect");
    }

    #[test]
    fn one_that_silences_the_sink_is_soon_alone_and_few_requests_were_made() {
        let (mut company, mut waiting) = (HashMap::new(), batch(0..4_000));
        let (mut requests, mut silences) = (0, 0);
        loop {
            let known = company.clone();
            let mut again = Vec::new();
            for group in groups(waiting, |id| known.get(&id).copied()) {
                requests += 1;
                if !group.iter().any(|taken| taken.work.document_id == 1_234) {
                    continue;
                }
                silences += 1;
                if group.len() == 1 {
                    assert_eq!((requests, silences), (31, 5));
                    return;
                }
                company.extend(group.iter().map(|taken| (taken.work.document_id, group.len())));
                again = group;
            }
            waiting = again;
        }
    }
}
