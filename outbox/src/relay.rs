//! One relay at a time: who may follow the outbox for a consumer, and how the next one takes over.
//!
//! Two means, for two purposes. A **turn** is an advisory lock of a session: the standby waits for it in the server and
//! has it at the moment in which the active relay's session ends, however that ends. A **term** is a number in the
//! consumer's row of `dms.ProjectionProgress`: whoever takes over counts it up, and from then on nothing is stored in the
//! name of an earlier one. The turn makes taking over fast; the term makes it safe, as a relay that was stopped and wakes
//! up again does not know that its session is gone.
//!
//! The slot, which serves one reader at a time, keeps two relays from reading the same changes; it says nothing about
//! what they do with what they have read already.

use tokio_postgres::GenericClient;

use crate::OutboxError;

/// The right to store a consumer's progress, until somebody else takes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FencingEpoch {
    consumer: String,
    number: i64,
}

/// Waits until no other session has the consumer's turn, and has it from then on, for as long as the session of `client`
/// lasts: a connection that is used for nothing else, so that no pool gives it to others. Dropping the future may leave
/// the session waiting; end it then.
///
/// # Errors
/// When the database refuses, or the session ends.
pub async fn wait_for_lease<C: GenericClient + Sync>(client: &C, consumer: &str) -> Result<(), OutboxError> {
    let sql = "SELECT pg_advisory_lock(hashtextextended('millstream relay ' || $1::text, 0))";
    client.execute(sql, &[&consumer]).await.map(|_| ()).map_err(OutboxError::database("waiting for the relay's turn"))
}

/// Takes over: from now on only the new term may store the consumer's progress. It needs no turn, so that an operator can
/// end the term of a relay that cannot be reached.
///
/// # Errors
/// When the database refuses.
pub async fn next_epoch<C: GenericClient + Sync>(client: &C, consumer: &str) -> Result<FencingEpoch, OutboxError> {
    const ACTION: &str = "taking over as relay";
    let row = client.query_one(TAKE_SQL, &[&consumer]).await;
    let number = row.and_then(|row| row.try_get(0)).map_err(OutboxError::database(ACTION))?;
    Ok(FencingEpoch { consumer: consumer.to_owned(), number })
}

const TAKE_SQL: &str = r#"
INSERT INTO "dms"."ProjectionProgress" AS p ("Consumer", "FencingEpoch", "UpdatedAt") VALUES ($1::text, 1, now())
    ON CONFLICT ("Consumer") DO UPDATE SET "FencingEpoch" = p."FencingEpoch" + 1, "UpdatedAt" = now()
RETURNING "FencingEpoch""#;

impl FencingEpoch {
    /// The consumer whose progress it is about.
    #[must_use]
    pub fn consumer(&self) -> &str {
        &self.consumer
    }

    /// Which term it is; later ones are larger.
    #[must_use]
    pub const fn number(&self) -> i64 {
        self.number
    }

    /// Makes sure that nobody has taken over. For what is stored elsewhere, in a queue that is shared: check before each
    /// batch, so that a relay that slept through its successor's start puts one batch at most. Work put twice does no
    /// harm, and neither does an older position, which the successor's next batch overtakes.
    ///
    /// # Errors
    /// [`OutboxError::TakenOver`], or when the database refuses.
    pub async fn check<C: GenericClient + Sync>(&self, client: &C) -> Result<(), OutboxError> {
        let found = self.found(client).await?;
        if found == self.number { Ok(()) } else { Err(self.lost(found)) }
    }

    /// Why a write in this term changed nothing.
    pub(crate) async fn taken_over<C: GenericClient + Sync>(&self, client: &C) -> Result<OutboxError, OutboxError> {
        Ok(self.lost(self.found(client).await?))
    }

    fn lost(&self, found: i64) -> OutboxError {
        OutboxError::TakenOver { consumer: self.consumer.clone(), term: self.number, found }
    }

    async fn found<C: GenericClient + Sync>(&self, client: &C) -> Result<i64, OutboxError> {
        const ACTION: &str = "asking which relay's term it is";
        let sql = r#"SELECT "FencingEpoch" FROM "dms"."ProjectionProgress" WHERE "Consumer" = $1::text"#;
        let row = client.query_opt(sql, &[&self.consumer]).await.map_err(OutboxError::database(ACTION))?;
        row.map_or(Ok(0), |row| row.try_get(0).map_err(OutboxError::database(ACTION)))
    }
}
