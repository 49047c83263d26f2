CREATE INDEX IF NOT EXISTS "IX_Outbox_Transaction" ON "dms"."Outbox" ("TransactionId", "OutboxId")
