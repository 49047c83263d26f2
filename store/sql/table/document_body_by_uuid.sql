SELECT d."DocumentId", d."DocumentUuid", d."ResourceKeyId", d."ContentVersion",
       {effective_version:d} AS "EffectiveVersion",
       {effective_last_modified:d} AS "EffectiveLastModified",
       c."ContentVersion" AS "CachedVersion", c."Body"
  FROM "dms"."Document" d
  LEFT JOIN "dms"."DocumentCache" c ON c."DocumentId" = d."DocumentId"
 WHERE d."DocumentUuid" = $1::uuid AND d."ResourceKeyId" = $2::int2
