UPDATE "dms"."Descriptor" AS t
   SET "ShortDescription" = u.c2, "Description" = u.c3, "EffectiveBeginDate" = u.c4, "EffectiveEndDate" = u.c5
  FROM unnest($1::int8[], $2::text[], $3::text[], $4::text[], $5::text[], $6::date[], $7::date[], $8::text[], $9::text[],
              $10::int4[]) AS u(k0, c0, c1, c2, c3, c4, c5, c6, c7, c8)
 WHERE t."DocumentId" = u.k0
