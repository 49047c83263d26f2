SELECT d."DocumentId", d."DocumentUuid", d."ResourceKeyId", d."ContentVersion",
       {effective_version:d} AS "EffectiveVersion",
       {effective_last_modified:d} AS "EffectiveLastModified",
       c."ContentVersion" AS "CachedVersion", octet_length(c."Body")::int8 AS "BodyBytes",
       CASE WHEN octet_length(c."Body") <= $3::int8 THEN c."Body" END AS "Body"
  FROM "dms"."Document" d
  LEFT JOIN "dms"."DocumentCache" c ON c."DocumentId" = d."DocumentId"
 WHERE d."DocumentUuid" = $1::uuid AND d."ResourceKeyId" = $2::int2
