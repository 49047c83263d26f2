UPDATE "dms"."Descriptor" SET "Uri" = $2, "UriLower" = $3, "ResourceKeyId" = $4 WHERE "DocumentId" = $1
