-- The size of a body is known without reading it; bodies beyond the bytes that were asked for stay in the table.
SELECT "DocumentId", "DocumentUuid", "ResourceKeyId", "ContentVersion", "LastModifiedAt", "BodyBytes",
       CASE WHEN "BytesThrough" <= $3::int8 THEN "Body" END AS "Body"
  FROM (SELECT p.*, octet_length(p."Body")::int8 AS "BodyBytes",
               sum(octet_length(p."Body")) OVER (ORDER BY p."DocumentUuid" ROWS UNBOUNDED PRECEDING) AS "BytesThrough"
          FROM (SELECT "DocumentId", "DocumentUuid", "ResourceKeyId", "ContentVersion", "LastModifiedAt", "Body"
                  FROM "dms"."DocumentCache" WHERE "DocumentUuid" > $1::uuid ORDER BY "DocumentUuid" LIMIT $2::int8) p) q
 ORDER BY "DocumentUuid"
