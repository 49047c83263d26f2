SELECT i."DocumentId", i."ReferentialId"
  FROM "dms"."ReferentialIdentity" i
 WHERE i."ReferentialId" = ANY((SELECT $1::uuid[])::uuid[]) AND i."DocumentId" <> ALL($2::int8[])
