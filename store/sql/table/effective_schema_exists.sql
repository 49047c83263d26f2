SELECT to_regclass('"dms"."EffectiveSchema"') IS NOT NULL AS "Exists"
