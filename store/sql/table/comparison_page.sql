-- The page is cut before the comparison: a page of current documents is short work too.
SELECT p."DocumentId", p."DocumentUuid", p."ResourceKeyId", p."ContentVersion",
       c."ContentVersion" IS DISTINCT FROM p."ContentVersion" AS "Stale"
FROM (SELECT "DocumentId", "DocumentUuid", "ResourceKeyId", "ContentVersion" FROM "dms"."Document"
      WHERE "DocumentId" > $1::int8 ORDER BY "DocumentId" LIMIT $2::int8) p
LEFT JOIN "dms"."DocumentCache" c ON c."DocumentId" = p."DocumentId"
ORDER BY p."DocumentId"
