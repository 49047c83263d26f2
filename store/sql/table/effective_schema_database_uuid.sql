SELECT "DatabaseUuid" FROM "dms"."EffectiveSchema"
