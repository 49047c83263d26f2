SELECT d."DocumentUuid", d."ResourceKeyId"
  FROM {root} r JOIN "dms"."Document" d ON d."DocumentId" = r."DocumentId"
 WHERE d."ResourceKeyId" <> {resource_key}
 ORDER BY d."DocumentId"
 LIMIT {limit}
