-- The size of a body is known without reading it; bodies beyond the bytes that were asked for stay in the table.
SELECT t."Total", q."DocumentId", q."DocumentUuid", q."ResourceKeyId", q."ContentVersion", q."EffectiveVersion",
       q."EffectiveLastModified", q."CachedVersion", q."BodyBytes", CASE WHEN q."BytesThrough" <= $4::int8 THEN q."Body" END AS "Body"
  FROM (SELECT {total} AS "Total") t
  LEFT JOIN (
    SELECT d."DocumentId", d."DocumentUuid", d."ResourceKeyId", d."ContentVersion",
       {effective_version:d} AS "EffectiveVersion",
       {effective_last_modified:d} AS "EffectiveLastModified",
           c."ContentVersion" AS "CachedVersion", c."Body", octet_length(c."Body")::int8 AS "BodyBytes",
           sum(octet_length(c."Body")) OVER (ORDER BY d."DocumentId" ROWS UNBOUNDED PRECEDING) AS "BytesThrough"
      FROM (SELECT r."DocumentId" FROM {root} r{paged} ORDER BY r."DocumentId" LIMIT $2::int8 OFFSET $3::int8) p
      JOIN "dms"."Document" d ON d."DocumentId" = p."DocumentId"
      LEFT JOIN "dms"."DocumentCache" c ON c."DocumentId" = p."DocumentId"
  ) q ON true
 ORDER BY q."DocumentId"
