INSERT INTO "dms"."Document" ("DocumentId", "DocumentUuid", "ResourceKeyId", "ContentVersion", "IdentityVersion",
       "LastModifiedAt", "CreatedAt", "ContentHash")
SELECT u.i, u.u, u.k, u.v, u.v, now(), now(), u.h
  FROM unnest($1::int8[], $2::uuid[], $3::int2[], $4::int8[], $5::bytea[]) AS u(i, u, k, v, h)
