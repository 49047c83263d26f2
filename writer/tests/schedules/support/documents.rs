//! The documents of a schedule, and the acts of actors.

use super::fixture::Fixture;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicU32, Ordering};
use uuid::Uuid;

static NEXT: AtomicU32 = AtomicU32::new(1);

/// A document by its letter in the schedules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Doc {
    /// A hub.
    H,
    /// Another hub.
    G,
    /// A spoke: has a hub in its identity.
    M,
    /// A rim: refers to hubs and the spoke from outside its identity.
    R,
    /// A second rim with the same references, which no act changes.
    S,
}

/// The initial references.
#[derive(Debug, Clone, Copy)]
pub(crate) struct References {
    /// First hub of R and S.
    pub(crate) first: Option<Doc>,
    /// Second hub of R and S.
    pub(crate) second: Option<Doc>,
    /// Whether R and S refer to M.
    pub(crate) spoke: bool,
    /// The hub in M's identity.
    pub(crate) hub_of_m: Doc,
    /// A hub that M refers to from outside its identity.
    pub(crate) guide_of_m: Option<Doc>,
}

impl References {
    /// R and S refer to nothing, M has H in its identity.
    pub(crate) const NONE: Self = Self { first: None, second: None, spoke: false, hub_of_m: Doc::H, guide_of_m: None };
    /// R→H.
    pub(crate) const H: Self = Self { first: Some(Doc::H), ..Self::NONE };
    /// R→G.
    pub(crate) const G: Self = Self { first: Some(Doc::G), ..Self::NONE };
    /// R→M.
    pub(crate) const M: Self = Self { spoke: true, ..Self::NONE };
    /// R→H,G.
    pub(crate) const HG: Self = Self { second: Some(Doc::G), ..Self::H };
    /// R→H,M.
    pub(crate) const HM: Self = Self { spoke: true, ..Self::H };
    /// R→G,M.
    pub(crate) const GM: Self = Self { spoke: true, ..Self::G };
    /// M→G outside its identity; R refers to nothing.
    pub(crate) const GUIDED: Self = Self { guide_of_m: Some(Doc::G), ..Self::NONE };
}

/// An operation of an actor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Act {
    /// Rename, with a cascade for every referrer.
    Rename(Doc),
    /// Rename that stamps every referrer in its transaction.
    RenameStrict(Doc),
    /// Change of the note.
    Edit(Doc),
    /// Change of the first hub of R, or of the hub in the identity of M.
    Point(Doc, Doc),
    /// Change of R to refer to M and to no hub.
    PointToSpoke,
    /// Insert of a rim that refers to M.
    Insert,
    Delete(Doc),
}

/// One set of documents. Sets are independent of each other.
#[derive(Debug, Clone)]
pub(crate) struct Documents {
    /// Prefix of every name in the set.
    pub(crate) tag: String,
    ids: [Uuid; 5],
}

impl Documents {
    /// Creates the documents.
    pub(crate) async fn create(fixture: &Fixture, references: References) -> Self {
        let tag = NEXT.fetch_add(1, Ordering::Relaxed).to_string();
        let hub = |doc: Doc| json!({"hubName": format!("{tag} {doc:?}")});
        let h = fixture.post("hubs", hub(Doc::H)).await.uuid;
        let g = fixture.post("hubs", hub(Doc::G)).await.uuid;
        let mut spoke = json!({"spokeName": "M", "hubReference": hub(references.hub_of_m)});
        if let Some(guide) = references.guide_of_m {
            spoke["guideHubReference"] = hub(guide);
        }
        let m = fixture.post("spokes", spoke).await.uuid;
        let mut rims = Vec::new();
        for doc in [Doc::R, Doc::S] {
            let mut rim = json!({"rimId": format!("{tag} {doc:?}")});
            for (name, to) in [("firstHubReference", references.first), ("secondHubReference", references.second)] {
                if let Some(to) = to {
                    rim[name] = hub(to);
                }
            }
            if references.spoke {
                rim["spokeReference"] = json!({"hubName": hub(references.hub_of_m)["hubName"], "spokeName": "M"});
            }
            rims.push(fixture.post("rims", rim).await.uuid);
        }
        Self { tag, ids: [h, g, m, rims[0], rims[1]] }
    }

    pub(crate) fn id(&self, doc: Doc) -> Uuid {
        self.ids[doc as usize]
    }

    /// Returns endpoint and id of every document.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&'static str, Uuid)> {
        [Doc::H, Doc::G, Doc::M, Doc::R, Doc::S].into_iter().map(|doc| (doc.endpoint(), self.id(doc)))
    }

    /// Reads version and body of a document.
    pub(crate) async fn body(&self, fixture: &Fixture, doc: Doc) -> (i64, Value) {
        fixture.body(doc.endpoint(), self.id(doc)).await
    }

    /// Reads the version of a document.
    pub(crate) async fn version(&self, fixture: &Fixture, doc: Doc) -> i64 {
        self.body(fixture, doc).await.0
    }
}

impl Doc {
    pub(crate) fn endpoint(self) -> &'static str {
        match self {
            Self::H | Self::G => "hubs",
            Self::M => "spokes",
            Self::R | Self::S => "rims",
        }
    }
}
