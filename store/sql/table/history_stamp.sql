-- Rows that another transaction holds are skipped: nothing here ever waits, so nothing can wait in a circle.
WITH locked AS (
  SELECT "DocumentId" FROM "dms"."Document"
   WHERE "DocumentUuid" = ANY((SELECT $1::uuid[])::uuid[]) ORDER BY "DocumentId" FOR UPDATE SKIP LOCKED
), stamped AS (
  UPDATE "dms"."Document" AS d
     SET "ContentVersion" = nextval('"dms"."ChangeVersionSequence"'), "LastModifiedAt" = greatest(d."LastModifiedAt", now())
   WHERE d."DocumentId" = ANY(ARRAY(SELECT "DocumentId" FROM locked))
  RETURNING d."DocumentId", d."DocumentUuid", d."ResourceKeyId", d."ContentVersion"
), appended AS (
  INSERT INTO "dms"."Outbox" ("DocumentId", "DocumentUuid", "ResourceKeyId", "Kind", "ContentVersion")
  SELECT "DocumentId", "DocumentUuid", "ResourceKeyId", 'touch', "ContentVersion" FROM stamped
  RETURNING "DocumentUuid"
)
SELECT "DocumentUuid" FROM appended
