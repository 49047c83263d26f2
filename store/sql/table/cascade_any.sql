SELECT EXISTS (SELECT FROM "dms"."Cascade") AS "AnyOpen"
