SELECT "ResourceKeyId", "ProjectName", "ResourceName", "ResourceVersion" FROM "dms"."ResourceKey" ORDER BY "ResourceKeyId"
