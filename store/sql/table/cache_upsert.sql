-- The ids stand beside the join once more, and the cached row is looked up by itself, so that the primary keys are used even
-- if the plan was made while the tables were empty: a hash join would read all of dms.Document for each batch.
WITH incoming AS (
  SELECT * FROM unnest($1::int8[], $2::int8[], $3::timestamptz[], $4::text[], $5::bytea[])
    AS u("DocumentId", "ContentVersion", "LastModifiedAt", "Body", "BodyHash")
), locked AS (
  SELECT d."DocumentId", d."DocumentUuid", d."ResourceKeyId", u."ContentVersion", u."LastModifiedAt", u."Body", u."BodyHash",
         coalesce(c."ContentVersion" = u."ContentVersion", false) AS "Repair"
    FROM incoming u
    JOIN "dms"."Document" d ON d."DocumentId" = u."DocumentId" AND d."ContentVersion" = u."ContentVersion"
    LEFT JOIN LATERAL (SELECT k."DocumentId", k."ContentVersion", k."BodyHash", k."Body"
                         FROM "dms"."DocumentCache" k WHERE k."DocumentId" = d."DocumentId" LIMIT 1) c ON true
   WHERE d."DocumentId" = ANY((SELECT $1::int8[])::int8[])
     AND (c."DocumentId" IS NULL OR c."ContentVersion" < u."ContentVersion"
          OR ($6::bool AND c."ContentVersion" = u."ContentVersion"
              AND (c."BodyHash" IS DISTINCT FROM u."BodyHash" OR c."Body" IS DISTINCT FROM u."Body")))
   ORDER BY d."DocumentId"
     FOR KEY SHARE OF d
), stored AS (
  INSERT INTO "dms"."DocumentCache" AS c
         ("DocumentId", "DocumentUuid", "ResourceKeyId", "ContentVersion", "LastModifiedAt", "Body", "BodyHash", "ComputedAt")
  SELECT "DocumentId", "DocumentUuid", "ResourceKeyId", "ContentVersion", "LastModifiedAt", "Body", "BodyHash", clock_timestamp()
    FROM locked
  ON CONFLICT ("DocumentId") DO UPDATE
     SET "DocumentUuid" = excluded."DocumentUuid", "ResourceKeyId" = excluded."ResourceKeyId",
         "ContentVersion" = excluded."ContentVersion", "LastModifiedAt" = excluded."LastModifiedAt",
         "Body" = excluded."Body", "BodyHash" = excluded."BodyHash", "ComputedAt" = excluded."ComputedAt"
   WHERE c."ContentVersion" < excluded."ContentVersion"
      OR ($6::bool AND c."ContentVersion" = excluded."ContentVersion"
          AND (c."BodyHash" IS DISTINCT FROM excluded."BodyHash" OR c."Body" IS DISTINCT FROM excluded."Body"))
  RETURNING "DocumentId"
)
SELECT "DocumentId", locked."Repair" AS "Repaired" FROM stored JOIN locked USING ("DocumentId")
