SELECT d."DocumentId", d."DocumentUuid", d."ResourceKeyId", d."ContentVersion",
       {effective_version:d} AS "EffectiveVersion",
       {effective_last_modified:d} AS "EffectiveLastModified"
  FROM "dms"."Document" d
 WHERE d."ResourceKeyId" = $3::int2 AND d."DocumentId" > $1::int8
 ORDER BY d."DocumentId"
 LIMIT $2::int8
