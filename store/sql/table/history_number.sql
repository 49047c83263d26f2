SELECT "History" FROM "dms"."EffectiveSchema"
