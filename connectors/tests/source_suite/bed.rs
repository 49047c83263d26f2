//! The fixture of a case: a database, changes in it, and a source on it.

use futures::future::BoxFuture;
use millstream_outbox::append;
use millstream_pipeline::source::ChangeSource;
use millstream_pipeline::{ChangeKind, NewChange, Position};
use millstream_testkit::TestDatabase;
use tokio_postgres::Client;
use uuid::Uuid;

/// The order in which a source returns the changes of several sessions, and the kind of its positions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(dead_code, reason = "each test binary uses some of them")]
pub(crate) enum Order {
    /// Commit order; a position may lie inside a transaction.
    Commits,
    /// Order of transaction ids; a position may lie inside a transaction.
    Transactions,
    /// Commit order as recorded by another process; positions do not depend on transactions.
    Records,
}

/// A database and a source of one kind on it.
pub(crate) trait SourceBed: Send {
    fn order(&self) -> Order;
    fn database(&self) -> &TestDatabase;
    fn writer(&mut self) -> &mut Client;
    /// Position of a source that has read nothing.
    fn origin(&self) -> Position;
    fn set_batch_max(&mut self, batch_max: usize);
    fn start(&self, stored: Position) -> Box<dyn ChangeSource>;
    /// Advances the server without a change, and returns its new position.
    fn move_on(&mut self) -> BoxFuture<'_, Position>;
}

/// Commits the changes of these documents in one transaction.
pub(crate) async fn commit(client: &mut Client, documents: impl IntoIterator<Item = i64>) {
    let transaction = client.transaction().await.expect("begin");
    append(&transaction, &changes(documents)).await.expect("append");
    transaction.commit().await.expect("commit");
}

pub(crate) fn changes(documents: impl IntoIterator<Item = i64>) -> Vec<NewChange> {
    let change = |document_id| NewChange {
        document_id,
        document_uuid: Uuid::from_u128(document_id as u128),
        resource_key: 3,
        kind: ChangeKind::ALL[document_id as usize % 4],
        content_version: 100 + document_id,
    };
    documents.into_iter().map(change).collect()
}
