SET LOCAL statement_timeout = 0;
CREATE INDEX IF NOT EXISTS "IX_Outbox_Transaction" ON "dms"."Outbox" ("TransactionId", "OutboxId")
