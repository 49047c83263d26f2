//! The rebuild: from queue entries to rows of `dms.DocumentCache`.
//!
//! A worker ([`worker`]) takes a batch, [`batch`] rebuilds it and settles each entry exactly once. One snapshot
//! ([`snapshot`]) shows whether each entry's transaction is visible, the documents' versions, and their bodies; the
//! decision per entry is made from it ([`decision`]). Bodies are stored afterwards, outside the snapshot, by a
//! statement that refuses those that were overtaken meanwhile. An entry leaves the queue only when its outcome is
//! known; the others are read again ([`visibility`]).
//!
//! A batch is rebuilt in parts whose rows fit into the memory that was reserved for them ([`part`]). The size of a
//! document is not known beforehand: one that does not fit is measured and rebuilt in a later part.
//!
//! Entries do not wait for each other: an entry that is not visible is retried alone, a document that cannot be
//! composed or stored fails alone. If a statement fails because of some document's content, the batch is halved until
//! that document is alone ([`failure_scope`], [`cancelled`]).

mod batch;
pub(crate) mod cancelled;
mod decision;
mod failure_scope;
mod part;
mod snapshot;
mod visibility;
pub(crate) mod worker;
