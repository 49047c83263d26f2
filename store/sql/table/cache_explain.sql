SELECT u."DocumentId",
       d."DocumentId" IS NULL OR d."ContentVersion" > u."ContentVersion"
         OR coalesce(c."ContentVersion" > u."ContentVersion", false) AS "Superseded",
       coalesce(c."ContentVersion" = u."ContentVersion", false) AS "SameVersion",
       coalesce(c."BodyHash" = u."BodyHash", false) AS "SameHash"
  FROM unnest($1::int8[], $2::int8[], $3::bytea[]) AS u("DocumentId", "ContentVersion", "BodyHash")
  LEFT JOIN "dms"."Document" d ON d."DocumentId" = u."DocumentId"
  LEFT JOIN "dms"."DocumentCache" c ON c."DocumentId" = u."DocumentId"
