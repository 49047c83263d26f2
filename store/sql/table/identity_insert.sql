INSERT INTO "dms"."ReferentialIdentity" ("ReferentialId", "DocumentId", "ResourceKeyId", "IdentityValues")
SELECT u.r, u.i, u.k, u.v::text[] FROM unnest($1::uuid[], $2::int8[], $3::int2[], $4::text[]) AS u(r, i, k, v)
