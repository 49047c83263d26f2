//! The order of new documents that refer to each other.

use std::collections::HashSet;

/// A reference from one new document of a batch to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Need {
    /// Position of the document that is referred to.
    pub(super) provider: usize,
    /// Index of the reference in the referring body's targets.
    pub(super) target: usize,
    pub(super) place: Place,
}

/// Where in the rows of a document a reference stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// In a column of the root row that cannot be NULL.
    Required,
    /// In a column of the root row that can be NULL.
    Optional,
    /// In a table below the root, whose rows are inserted after all root rows.
    Below,
}

/// An order in which the root rows can be inserted.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Levels {
    /// Positions by level: a document of a level refers only to documents of earlier ones, save for `postponed`.
    pub(super) levels: Vec<Vec<usize>>,
    /// (position, target): optional references of documents that refer to each other in a circle. They are NULL at first
    /// and set when all root rows exist.
    pub(super) postponed: Vec<(usize, usize)>,
    /// Documents that require each other, or one that does. No order of inserts satisfies them.
    pub(super) stuck: Vec<usize>,
}

/// Orders documents, each given by its position and its needs. Needs of documents that are not among them are taken as
/// satisfied.
pub(super) fn order(documents: &[(usize, Vec<Need>)]) -> Levels {
    let mut out = Levels::default();
    let mut open: Vec<(usize, Vec<Need>)> = documents
        .iter()
        .map(|(at, needs)| (*at, needs.iter().copied().filter(|need| need.place != Place::Below).collect()))
        .collect();
    while !open.is_empty() {
        let waiting: HashSet<usize> = open.iter().map(|(at, _)| *at).collect();
        let is_blocked = |needs: &[Need]| needs.iter().any(|need| waiting.contains(&need.provider));
        let (blocked, ready): (Vec<_>, Vec<_>) = open.into_iter().partition(|(_, needs)| is_blocked(needs));
        open = blocked;
        if !ready.is_empty() {
            out.levels.push(ready.into_iter().map(|(at, _)| at).collect());
            continue;
        }
        let before = out.postponed.len();
        for (at, needs) in &mut open {
            needs.retain(|need| {
                let postponed = need.place == Place::Optional && waiting.contains(&need.provider);
                if postponed {
                    out.postponed.push((*at, need.target));
                }
                !postponed
            });
        }
        if out.postponed.len() == before {
            out.stuck = open.drain(..).map(|(at, _)| at).collect();
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn need(provider: usize, target: usize, place: Place) -> Need {
        Need { provider, target, place }
    }

    #[test]
    fn documents_without_references_are_one_level() {
        assert_eq!(order(&[(4, vec![]), (2, vec![])]).levels, [[4, 2]]);
        assert_eq!(order(&[]), Levels::default());
    }

    #[test]
    fn a_document_comes_after_those_that_it_refers_to_in_any_order_of_arrival() {
        let documents = [
            (0, vec![need(1, 0, Place::Required), need(9, 1, Place::Required)]),
            (1, vec![need(2, 0, Place::Optional)]),
            (2, vec![]),
            (3, vec![need(0, 0, Place::Below)]),
        ];
        let ordered = order(&documents);
        assert_eq!(ordered.levels, [vec![2, 3], vec![1], vec![0]]);
        assert!(ordered.postponed.is_empty() && ordered.stuck.is_empty());
    }

    #[test]
    fn a_circle_is_opened_at_references_that_can_be_null() {
        let documents = [(0, vec![need(1, 5, Place::Optional)]), (1, vec![need(0, 7, Place::Required)])];
        let ordered = order(&documents);
        assert_eq!(ordered.levels, [[0], [1]]);
        assert_eq!(ordered.postponed, [(0, 5)]);
        assert!(ordered.stuck.is_empty());
    }

    #[test]
    fn documents_that_require_each_other_are_stuck_and_so_is_what_needs_them() {
        let documents = [
            (0, vec![need(1, 0, Place::Required)]),
            (1, vec![need(0, 0, Place::Required)]),
            (2, vec![need(1, 0, Place::Required)]),
            (3, vec![]),
        ];
        let ordered = order(&documents);
        assert_eq!(ordered.levels, [[3]]);
        assert_eq!(ordered.stuck, [0, 1, 2]);
    }
}
