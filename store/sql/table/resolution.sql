SELECT i."ReferentialId", i."DocumentId", i."ResourceKeyId", i."IdentityValues",
       (SELECT x."Uri" FROM "dms"."Descriptor" x WHERE x."DocumentId" = i."DocumentId") AS "Uri",
       NULL::uuid AS "DocumentUuid", NULL::int8 AS "EffectiveVersion", NULL::bytea AS "ContentHash"
  FROM "dms"."ReferentialIdentity" i
 WHERE i."ReferentialId" = ANY((SELECT $1::uuid[])::uuid[])
UNION ALL
SELECT o."ReferentialId", d."DocumentId", d."ResourceKeyId", o."IdentityValues", NULL::varchar, d."DocumentUuid",
       {effective_version:d}, d."ContentHash"
  FROM "dms"."Document" d
 CROSS JOIN LATERAL (SELECT r."ReferentialId", r."IdentityValues" FROM "dms"."ReferentialIdentity" r
                      WHERE r."DocumentId" = d."DocumentId" AND r."ResourceKeyId" = d."ResourceKeyId" LIMIT 1) o
 WHERE d."DocumentId" = ANY(ARRAY(SELECT s."DocumentId" FROM "dms"."ReferentialIdentity" s
                                   WHERE s."ReferentialId" = ANY((SELECT $2::uuid[])::uuid[])))
UNION ALL
SELECT o."ReferentialId", d."DocumentId", d."ResourceKeyId", o."IdentityValues", NULL::varchar, d."DocumentUuid",
       {effective_version:d}, d."ContentHash"
  FROM "dms"."Document" d
 CROSS JOIN LATERAL (SELECT r."ReferentialId", r."IdentityValues" FROM "dms"."ReferentialIdentity" r
                      WHERE r."DocumentId" = d."DocumentId" AND r."ResourceKeyId" = d."ResourceKeyId" LIMIT 1) o
 WHERE d."DocumentUuid" = ANY((SELECT $3::uuid[])::uuid[])
