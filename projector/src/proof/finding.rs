//! The differences between a sink and the cache, and the report of them.

use millstream_pipeline::queue::Work;
use std::collections::{BTreeMap, HashMap};
use uuid::Uuid;

/// Most findings kept with their document; beyond it only the number is kept.
const KEPT_MAX: usize = 100_000;

/// The kind of a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FindingKind {
    /// In the cache, not in the sink.
    Missing,
    /// The sink holds an older version.
    Stale,
    /// The sink holds a version that the database never assigned, or has lost since (a restored backup).
    Newer,
    /// The sink holds other bytes at the same version.
    Altered,
    /// In the sink, unknown to the database.
    Extra,
    /// In the sink, deleted in the database.
    Undeleted,
}

impl FindingKind {
    /// Returns the name that reports use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Stale => "stale",
            Self::Newer => "newer",
            Self::Altered => "altered",
            Self::Extra => "extra",
            Self::Undeleted => "undeleted",
        }
    }
}

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Its kind.
    pub kind: FindingKind,
    /// The document's public id.
    pub uuid: Uuid,
    /// Its DocumentId, if the database knows it.
    pub document_id: Option<i64>,
    /// Its type, if the database or the sink knows it.
    pub resource_key: Option<i16>,
    /// The version in the database; of a deleted document, that of the delete.
    pub version: Option<i64>,
    /// The version in the sink.
    pub held: Option<i64>,
}

impl Finding {
    /// Returns the entry that repairs the sink when it is put into the sink's lane. A newer version in the sink cannot
    /// be repaired per document, because versions guard the sink: `None`.
    #[must_use]
    pub fn mending(&self, now_ms: u64) -> Option<Work> {
        let deleted = matches!(self.kind, FindingKind::Extra | FindingKind::Undeleted);
        let version = match self.kind {
            FindingKind::Newer => return None,
            // Above the version in the sink: no other component will ever write this document.
            FindingKind::Extra | FindingKind::Undeleted => self.version.max(self.held.map(|held| held + 1))?,
            FindingKind::Missing | FindingKind::Stale | FindingKind::Altered => self.version?,
        };
        // A document that the database does not know gets a key that none of its documents can have.
        let document_id = self.document_id.unwrap_or_else(|| (self.uuid.as_u64_pair().1 as i64) | i64::MIN);
        let resource_key = self.resource_key.unwrap_or_default();
        Some(Work { repair: true, ..Work::of_row(document_id, self.uuid, resource_key, version, deleted, now_ms) })
    }
}

/// The result of one comparison.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// Documents of the cache that were compared.
    pub(super) compared: u64,
    /// Documents in the sink that exist and are not cached.
    pub(super) uncached: u64,
    counts: BTreeMap<FindingKind, u64>,
    kept: HashMap<Uuid, Finding>,
}

impl Findings {
    pub(crate) fn add(&mut self, finding: Finding) {
        *self.counts.entry(finding.kind).or_default() += 1;
        if self.kept.len() < KEPT_MAX {
            self.kept.insert(finding.uuid, finding);
        }
    }

    pub(crate) fn extend(&mut self, finding: Option<Finding>) {
        finding.into_iter().for_each(|finding| self.add(finding));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    /// The findings by public id.
    pub(crate) fn by_document(&self) -> &HashMap<Uuid, Finding> {
        &self.kept
    }

    fn total(&self) -> u64 {
        self.counts.values().sum()
    }
}

/// The report about one sink.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SinkReport {
    /// Description of the sink.
    pub sink: String,
    /// Documents of the cache that were compared with it.
    pub compared: u64,
    /// Number of differences by kind.
    pub counts: BTreeMap<FindingKind, u64>,
    /// The differences, up to 100,000, in the order of kind and id.
    pub findings: Vec<Finding>,
    /// Documents that changed while the sink was read, and whose copy was current in neither comparison.
    pub behind: u64,
}

impl SinkReport {
    /// Reports the differences that both comparisons found. The second one is made only if the first found differences.
    pub(super) fn of(sink: String, first: &Findings, second: Option<&Findings>) -> Self {
        let compared = second.unwrap_or(first).compared;
        let mut report = Self { sink, compared, counts: BTreeMap::new(), findings: Vec::new(), behind: 0 };
        let Some(second) = second else {
            report.behind = first.uncached;
            return report;
        };
        report.behind = second.uncached;
        if second.total() > second.kept.len() as u64 {
            // Too many to compare them by document: all count.
            report.counts.clone_from(&second.counts);
            report.findings = second.kept.values().cloned().collect();
        } else {
            for finding in second.kept.values() {
                let before = first.kept.get(&finding.uuid);
                if before.is_some_and(|before| before.version == finding.version) {
                    *report.counts.entry(finding.kind).or_default() += 1;
                    report.findings.push(finding.clone());
                } else {
                    report.behind += 1;
                }
            }
        }
        report.findings.sort_by_key(|finding| (finding.kind, finding.uuid));
        report
    }

    /// Keeps only the differences about documents of one type.
    pub fn retain_type(&mut self, resource_key: i16) {
        self.findings.retain(|finding| finding.resource_key == Some(resource_key));
        self.counts.clear();
        for finding in &self.findings {
            *self.counts.entry(finding.kind).or_default() += 1;
        }
    }

    /// Returns the number of differences.
    #[must_use]
    pub fn differences(&self) -> u64 {
        self.counts.values().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(kind: FindingKind, number: u128, version: i64, held: Option<i64>) -> Finding {
        let uuid = Uuid::from_u128(number);
        Finding { kind, uuid, document_id: Some(number as i64), resource_key: Some(1), version: Some(version), held }
    }

    #[test]
    fn only_what_is_wrong_twice_about_one_version_is_a_difference() {
        let (mut first, mut second) = (Findings::default(), Findings::default());
        for number in 1..=3 {
            first.add(finding(FindingKind::Stale, number, 5, Some(4)));
        }
        second.add(finding(FindingKind::Stale, 1, 5, Some(4)));
        second.add(finding(FindingKind::Stale, 2, 9, Some(8)));
        second.add(finding(FindingKind::Missing, 7, 9, None));
        let report = SinkReport::of("a sink".to_owned(), &first, Some(&second));
        assert_eq!((report.differences(), report.behind), (1, 2), "{report:?}");
        assert_eq!(report.findings[0].uuid, Uuid::from_u128(1));
    }

    #[test]
    fn what_should_not_be_there_is_deleted_above_the_version_it_has() {
        let undeleted = finding(FindingKind::Undeleted, 1, 5, Some(9)).mending(0).expect("it can be mended");
        assert_eq!((undeleted.deleted, undeleted.version), (true, 10));
        let unknown = Finding { document_id: None, version: None, ..finding(FindingKind::Extra, 1, 5, Some(9)) };
        let unknown = unknown.mending(0).expect("it can be mended");
        assert!(unknown.deleted && unknown.version == 10 && unknown.document_id < 0);
        assert!(finding(FindingKind::Newer, 1, 5, Some(9)).mending(0).is_none());
        assert!(finding(FindingKind::Altered, 1, 5, Some(5)).mending(0).is_some_and(|work| work.repair));
    }
}
