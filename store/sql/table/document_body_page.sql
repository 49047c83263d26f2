SELECT t."Total", q.*
  FROM (SELECT {total} AS "Total") t
  LEFT JOIN (
    SELECT d."DocumentId", d."DocumentUuid", d."ResourceKeyId", d."ContentVersion",
       {effective_version:d} AS "EffectiveVersion",
       {effective_last_modified:d} AS "EffectiveLastModified",
           c."ContentVersion" AS "CachedVersion", c."Body"
      FROM (SELECT r."DocumentId" FROM {root} r{paged} ORDER BY r."DocumentId" LIMIT $2::int8 OFFSET $3::int8) p
      JOIN "dms"."Document" d ON d."DocumentId" = p."DocumentId"
      LEFT JOIN "dms"."DocumentCache" c ON c."DocumentId" = p."DocumentId"
  ) q ON true
 ORDER BY q."DocumentId"
