-- A document can occur more than once: the last occurrence counts.
SELECT DISTINCT ON ("Uuid") "Uuid", "Version", "ResourceKey", "Digest" FROM pg_temp."Held"
WHERE "Uuid" > $1::uuid AND "Uuid" <= $2::uuid ORDER BY "Uuid", "Ordinal" DESC LIMIT $3::int8
