INSERT INTO "dms"."ReferenceEdge" ("ParentDocumentId", "ChildDocumentId", "IsIdentityComponent")
SELECT u.p, u.c, u.f FROM unnest($1::int8[], $2::int8[], $3::bool[]) AS u(p, c, f)
