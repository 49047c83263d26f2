UPDATE "dms"."Document" AS d
   SET "ContentVersion" = u.v, "IdentityVersion" = u.v,
       "LastModifiedAt" = greatest(d."LastModifiedAt", clock_timestamp())
  FROM unnest($1::int8[], $2::int8[]) AS u(i, v)
 WHERE d."DocumentId" = u.i
