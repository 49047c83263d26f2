//! One relay at a time: which process may follow the outbox for a consumer, and how the next one takes over.
//!
//! Two mechanisms with two purposes. A **lease** is an advisory lock of a session: the standby waits for it in the
//! server and gets it at the moment in which the active relay's session ends, for whatever reason. A **fencing epoch**
//! is a number in the consumer's row of `dms.ProjectionProgress` (column `Term`): the relay that takes over increments
//! it, and from then on nothing is stored under an earlier one. The lease makes taking over fast; the epoch makes it
//! safe, because a relay that was suspended and resumes does not know that its session is gone.
//!
//! The slot serves one reader at a time, so two relays never read the same changes; it does not restrict what they do
//! with the changes that they have already read.

use millstream_store::connect::GenericClient;
use millstream_store::table::progress;

use crate::error::{During, OutboxError};

/// The right to store a consumer's progress, until another relay takes over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FencingEpoch {
    consumer: String,
    number: i64,
}

/// Waits for the consumer's lease and holds it for as long as the session of `client` lasts: use a connection that
/// serves nothing else and belongs to no pool. Dropping the future may leave the session waiting; close it then.
///
/// # Errors
/// When the database refuses, or the session ends.
pub async fn wait_for_lease<C: GenericClient>(client: &C, consumer: &str) -> Result<(), OutboxError> {
    let sql = "SELECT pg_advisory_lock(hashtextextended('millstream relay ' || $1::text, 0))";
    client.execute(sql, &[&consumer]).await.map(|_| ()).during("waiting for the relay's lease")
}

/// Takes over: from now on only the new epoch may store the consumer's progress. It needs no lease, so that an operator
/// can fence off a relay that cannot be reached.
///
/// # Errors
/// When the database refuses.
pub async fn next_epoch<C: GenericClient>(client: &C, consumer: &str) -> Result<FencingEpoch, OutboxError> {
    let number = progress::next_term(client, consumer).await.during("taking over as relay")?;
    Ok(FencingEpoch { consumer: consumer.to_owned(), number })
}

impl FencingEpoch {
    /// The consumer whose progress it protects.
    #[must_use]
    pub fn consumer(&self) -> &str {
        &self.consumer
    }

    /// The number of the epoch; later ones are larger.
    #[must_use]
    pub const fn number(&self) -> i64 {
        self.number
    }

    /// Checks that no other relay has taken over. For what is stored elsewhere, in a shared queue: check before each
    /// batch, so that a relay that was suspended during its successor's start writes one batch at most. Enqueueing work
    /// twice does no harm, and neither does an older position, which the successor's next batch overtakes.
    ///
    /// # Errors
    /// [`OutboxError::TakenOver`], or when the database refuses.
    pub async fn check<C: GenericClient>(&self, client: &C) -> Result<(), OutboxError> {
        let found = self.current(client).await?;
        if found == self.number { Ok(()) } else { Err(self.lost(found)) }
    }

    /// Why a write in this epoch changed nothing.
    pub(crate) async fn taken_over<C: GenericClient>(&self, client: &C) -> Result<OutboxError, OutboxError> {
        Ok(self.lost(self.current(client).await?))
    }

    fn lost(&self, found: i64) -> OutboxError {
        OutboxError::TakenOver { consumer: self.consumer.clone(), epoch: self.number, found }
    }

    async fn current<C: GenericClient>(&self, client: &C) -> Result<i64, OutboxError> {
        let current = progress::term(client, &self.consumer).await.during("reading the current fencing epoch")?;
        Ok(current.unwrap_or(0))
    }
}
