INSERT INTO "dms"."Outbox" ("DocumentId", "DocumentUuid", "ResourceKeyId", "Kind", "ContentVersion")
SELECT n."DocumentId", n."DocumentUuid", n."ResourceKeyId", n."Kind", n."ContentVersion"
  FROM unnest($1::int8[], $2::uuid[], $3::int2[], $4::text[], $5::int8[])
       WITH ORDINALITY AS n ("DocumentId", "DocumentUuid", "ResourceKeyId", "Kind", "ContentVersion", "Ordinal")
 ORDER BY n."Ordinal"
