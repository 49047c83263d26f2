-- The size of a body is known without reading it; bodies beyond the bytes that were asked for stay in the table.
SELECT "DocumentId", "ContentVersion", "DocumentUuid", "ResourceKeyId", "LastModifiedAt", "BodyHash", "BodyBytes",
       CASE WHEN "BytesThrough" <= $2::int8 THEN "Body" END AS "Body"
  FROM (SELECT c.*, octet_length(c."Body")::int8 AS "BodyBytes",
               sum(octet_length(c."Body")) OVER (ORDER BY c."DocumentId" ROWS UNBOUNDED PRECEDING) AS "BytesThrough"
          FROM "dms"."DocumentCache" c WHERE c."DocumentId" = ANY((SELECT $1::int8[])::int8[])) q
 ORDER BY "DocumentId"
