//! The findings of an audit.

use std::collections::BTreeMap;
use std::fmt;
use uuid::Uuid;

/// Examples kept of each kind.
const EXAMPLES_MAX: usize = 10;

/// Maximum number of characters of a value that a report shows.
const SHOWN_MAX: usize = 120;

/// The findings of an audit so far.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Documents checked.
    pub documents: u64,
    /// Rows of resource tables read for them.
    pub rows: u64,
    /// Documents whose cached body is missing or older than the document: pending work, not damage.
    pub behind: u64,
    /// The first of them.
    pub behind_examples: Vec<Difference>,
    /// The differences, by kind.
    pub differences: BTreeMap<DifferenceKind, Differences>,
    /// The documents with a difference or behind, up to a bound.
    pub concerned: ConcernedDocuments,
}

/// All differences of one kind.
#[derive(Debug, Clone, Default)]
pub struct Differences {
    /// The number of occurrences.
    pub count: u64,
    /// The first of them.
    pub examples: Vec<Difference>,
}

/// One disagreement between stored and expected values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The document.
    pub uuid: Uuid,
    /// Its resource type.
    pub resource: String,
    /// The value that follows from the rows.
    pub expected: String,
    /// The stored value.
    pub found: String,
}

/// The ways in which stored copies can disagree with the rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DifferenceKind {
    /// `dms.Document` names a type that the schema does not have.
    UnknownType,
    /// A document has no row in its root table.
    RootRowMissing,
    /// A document has a row in the root table of another type.
    RootRowMisplaced,
    /// A row belongs to a document that does not exist: a foreign key was switched off, or a restore was partial.
    RowOfNoDocument,
    /// A document of a changeable type has no row in `dms.IdentityLock`.
    IdentityLockMissing,
    /// `dms.Tombstone` says that a living document is deleted.
    TombstoneOfLiving,
    /// `Uri`, `UriLower` or `ResourceKeyId` of a descriptor do not follow from its other columns.
    DescriptorColumns,
    /// A document's identity cannot be computed from its rows.
    IdentityUncomputable,
    /// `dms.ReferentialIdentity` lacks a row.
    IdentityMissing,
    /// `dms.ReferentialIdentity` has a row too many.
    IdentityUnexpected,
    /// A ReferentialId is not the one of the identity.
    ReferentialId,
    /// IdentityValues are not those of the rows.
    IdentityValues,
    /// `dms.ReferenceEdge` lacks a row.
    EdgeMissing,
    /// `dms.ReferenceEdge` has a row too many.
    EdgeUnexpected,
    /// `IsIdentityComponent` of an edge is wrong.
    EdgeFlag,
    /// A reference points to a document of a type that it may not point to.
    ReferenceType,
    /// A descriptor column points to a descriptor of another type, or to none.
    DescriptorType,
    /// A body cannot be composed.
    Uncomposable,
    /// The cache holds a version that the document never had.
    CacheAhead,
    /// Id, type or time of a cached body are not the document's.
    CacheHead,
    /// A cached body is not the one that its rows make.
    CacheBody,
    /// BodyHash is not the hash of the cached body.
    CacheHash,
}

impl DifferenceKind {
    /// Whether the right value follows from the rows of documents, so that a repair can write it.
    pub fn is_derivable(self) -> bool {
        !matches!(
            self,
            Self::UnknownType
                | Self::RootRowMissing
                | Self::RootRowMisplaced
                | Self::RowOfNoDocument
                | Self::IdentityUncomputable
                | Self::ReferenceType
                | Self::DescriptorType
        )
    }

    /// A short name for tables and messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::UnknownType => "unknown type",
            Self::RootRowMissing => "root row missing",
            Self::RootRowMisplaced => "root row in the table of another type",
            Self::RowOfNoDocument => "row of no document",
            Self::IdentityLockMissing => "identity lock missing",
            Self::TombstoneOfLiving => "tombstone of a living document",
            Self::DescriptorColumns => "descriptor columns",
            Self::IdentityUncomputable => "identity not computable",
            Self::IdentityMissing => "identity missing",
            Self::IdentityUnexpected => "identity unexpected",
            Self::ReferentialId => "referential id",
            Self::IdentityValues => "identity values",
            Self::EdgeMissing => "edge missing",
            Self::EdgeUnexpected => "edge unexpected",
            Self::EdgeFlag => "edge flag",
            Self::ReferenceType => "reference to another type",
            Self::DescriptorType => "descriptor of another type",
            Self::Uncomposable => "body not composable",
            Self::CacheAhead => "cache ahead of the document",
            Self::CacheHead => "cached id, type or time",
            Self::CacheBody => "cached body",
            Self::CacheHash => "cached body hash",
        }
    }
}

impl fmt::Display for DifferenceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Report {
    /// Whether there are no differences and nothing is behind.
    pub fn is_clean(&self) -> bool {
        self.behind == 0 && self.differences.is_empty()
    }

    /// Total number of differences.
    pub fn difference_count(&self) -> u64 {
        self.differences.values().map(|found| found.count).sum()
    }

    pub(super) fn add_behind(&mut self, example: Difference) {
        self.behind += 1;
        self.concerned.add(example.uuid, None);
        if self.behind_examples.len() < EXAMPLES_MAX {
            self.behind_examples.push(example);
        }
    }

    pub(super) fn add(&mut self, kind: DifferenceKind, example: Difference) {
        let found = self.differences.entry(kind).or_default();
        found.count += 1;
        self.concerned.add(example.uuid, Some(kind));
        if found.examples.len() < EXAMPLES_MAX {
            found.examples.push(example);
        }
    }
}

/// Documents that are kept; of further ones only the number of findings is.
const DOCUMENTS_MAX: usize = 100_000;

/// The documents that an audit found something about, each with the kinds of its differences, up to 100,000 documents.
#[derive(Debug, Clone, Default)]
pub struct ConcernedDocuments {
    documents: BTreeMap<Uuid, Vec<DifferenceKind>>,
    beyond: u64,
}

impl ConcernedDocuments {
    /// Adds a finding about a document; `None` if its cached body is only behind. Findings about no document are left out.
    fn add(&mut self, uuid: Uuid, kind: Option<DifferenceKind>) {
        if uuid.is_nil() {
            return;
        }
        if self.documents.len() >= DOCUMENTS_MAX && !self.documents.contains_key(&uuid) {
            self.beyond += 1;
            return;
        }
        let kinds = self.documents.entry(uuid).or_default();
        kinds.extend(kind.filter(|kind| !kinds.contains(kind)));
    }

    /// The documents by public id, each with the kinds of its differences; a document without a kind is behind.
    pub fn iter(&self) -> impl Iterator<Item = (Uuid, &[DifferenceKind])> {
        self.documents.iter().map(|(uuid, kinds)| (*uuid, kinds.as_slice()))
    }

    /// The number of documents.
    pub fn len(&self) -> usize {
        self.documents.len()
    }

    /// Whether nothing was found about any document.
    pub fn is_empty(&self) -> bool {
        self.documents.is_empty()
    }

    /// The number of findings about documents that are not listed.
    pub fn beyond(&self) -> u64 {
        self.beyond
    }
}

/// Cuts two long texts to where they begin to differ.
pub(super) fn shorten(expected: &str, found: &str) -> (String, String) {
    let same = expected.chars().zip(found.chars()).take_while(|(a, b)| a == b).count();
    let skip = same.saturating_sub(SHOWN_MAX / 3);
    (window(expected, skip), window(found, skip))
}

fn window(text: &str, skip: usize) -> String {
    let mut shown = String::new();
    if skip > 0 {
        shown.push('…');
    }
    let mut rest = text.chars().skip(skip);
    shown.extend(rest.by_ref().take(SHOWN_MAX));
    if rest.next().is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_cut_to_where_they_differ() {
        let (a, b) = ("x".repeat(500) + "ANNA" + &"y".repeat(500), "x".repeat(500) + "BERT" + &"y".repeat(500));
        let (expected, found) = shorten(&a, &b);
        assert!(expected.contains("ANNA") && found.contains("BERT"), "{expected} {found}");
        assert!(expected.chars().count() <= SHOWN_MAX + 2);
        assert_eq!(shorten("short", "shirt"), ("short".to_owned(), "shirt".to_owned()));
    }
}
