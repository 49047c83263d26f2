SELECT i."DocumentId", i."IdentityValues"
  FROM "dms"."ReferentialIdentity" i
 WHERE i."DocumentId" = ANY((SELECT $1::int8[])::int8[]) AND i."ResourceKeyId" <> ALL($2::int2[])
