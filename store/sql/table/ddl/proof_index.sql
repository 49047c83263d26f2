CREATE INDEX ON pg_temp."Held" ("Uuid", "Ordinal");
ANALYZE pg_temp."Held"
