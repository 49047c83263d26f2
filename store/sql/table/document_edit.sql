UPDATE "dms"."Document" AS d
   SET "ContentVersion" = u.v, "LastModifiedAt" = greatest(d."LastModifiedAt", clock_timestamp()), "ContentHash" = u.h
  FROM unnest($1::int8[], $2::int8[], $3::bytea[]) AS u(i, v, h)
 WHERE d."DocumentId" = u.i
