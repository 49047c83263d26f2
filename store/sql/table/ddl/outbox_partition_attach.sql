CREATE TABLE "dms"."{partition}" (LIKE "dms"."Outbox" INCLUDING DEFAULTS INCLUDING CONSTRAINTS);
ALTER TABLE "dms"."Outbox" ATTACH PARTITION "dms"."{partition}" FOR VALUES FROM ({from}) TO ({to})
