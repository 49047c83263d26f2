SELECT d."DocumentId"
  FROM "dms"."Tombstone" t
  JOIN "dms"."Document" d ON d."DocumentUuid" = t."DocumentUuid"
 WHERE d."DocumentId" = ANY($1::int8[])
