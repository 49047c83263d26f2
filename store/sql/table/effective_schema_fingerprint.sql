SELECT "EffectiveSchemaHash", "ApiSchemaFormatVersion", "ResourceKeyCount", "ResourceKeySeedHash", "DatabaseUuid",
       "AppliedAt"
  FROM "dms"."EffectiveSchema" WHERE "Id" = 1
