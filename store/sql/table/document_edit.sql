UPDATE "dms"."Document" d
   SET "ContentVersion" = ($2::int8[])[array_position($1::int8[], d."DocumentId")],
       "ContentHash" = ($3::bytea[])[array_position($1::int8[], d."DocumentId")],
       "LastModifiedAt" = greatest(d."LastModifiedAt", clock_timestamp())
 WHERE d."DocumentId" = ANY((SELECT $1::int8[])::int8[])
