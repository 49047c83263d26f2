SELECT "DocumentId", "IdentityValues"
  FROM "dms"."ReferentialIdentity"
 WHERE "DocumentId" = ANY($1::int8[]) AND "ResourceKeyId" = $2
