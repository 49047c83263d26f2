WITH identity AS (
       INSERT INTO "dms"."ReferentialIdentity" ("ReferentialId", "DocumentId", "ResourceKeyId", "IdentityValues")
       SELECT u.r, u.i, u.k, u.v::text[] FROM unnest($1::uuid[], $2::int8[], $3::int2[], $4::text[]) AS u(r, i, k, v)
           ON CONFLICT DO NOTHING
       RETURNING "DocumentId"),
     taken AS (
       SELECT "DocumentId", count(*) AS "Identities" FROM identity GROUP BY "DocumentId"),
     head AS (
       SELECT u.i, u.u, u.k, u.h, nextval('"dms"."ChangeVersionSequence"') AS v
         FROM unnest($5::int8[], $6::uuid[], $7::int2[], $8::bytea[]) AS u(i, u, k, h)
         JOIN taken t ON t."DocumentId" = u.i),
     document AS (
       INSERT INTO "dms"."Document" ("DocumentId", "DocumentUuid", "ResourceKeyId", "ContentVersion", "IdentityVersion",
              "LastModifiedAt", "CreatedAt", "ContentHash")
       SELECT h.i, h.u, h.k, h.v, h.v, now(), now(), h.h FROM head h
       RETURNING "DocumentId", "ContentVersion")
SELECT d."DocumentId", d."ContentVersion" AS "Version", t."Identities"
  FROM document d
  JOIN taken t USING ("DocumentId")
