SELECT i."DocumentId", i."ResourceKeyId", i."ReferentialId", i."IdentityValues"
  FROM "dms"."ReferentialIdentity" i
 WHERE i."DocumentId" = ANY($1::int8[])
