SELECT d."DocumentId", d."DocumentUuid", d."ResourceKeyId", d."ContentVersion",
       {effective_version:d} AS "EffectiveVersion",
       {effective_last_modified:d} AS "EffectiveLastModified"
  FROM "dms"."Document" d
 WHERE d."DocumentUuid" = ANY($1::uuid[])
 ORDER BY d."DocumentId"
