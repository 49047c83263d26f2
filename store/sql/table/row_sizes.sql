-- The sizes of the rows of some documents in one table, without reading their values.
SELECT r."{column}" AS "DocumentId", count(*) AS "Rows", {text_bytes} AS "TextBytes"
  FROM {table} r WHERE r."{column}" = ANY((SELECT $1::int8[])::int8[]) GROUP BY 1
