CREATE TEMPORARY TABLE "Held" ("Ordinal" bigint NOT NULL, "Uuid" uuid NOT NULL, "Version" bigint, "ResourceKey" smallint, "Digest" bytea)
