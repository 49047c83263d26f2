SELECT x."DocumentId", x."Namespace", x."CodeValue", x."Uri", x."UriLower", x."ResourceKeyId"
  FROM "dms"."Descriptor" x WHERE x."DocumentId" = ANY((SELECT $1::int8[])::int8[])
