-- Draws ids between the smallest and the largest and takes the next document of each: a document after a gap is drawn more
-- often than its neighbours. A document can be drawn more than once.
SELECT n."DocumentUuid"
  FROM (SELECT b.first + floor(random() * (b.last - b.first + 1))::int8 AS at
          FROM (SELECT min("DocumentId") AS first, max("DocumentId") AS last FROM "dms"."Document") b,
               generate_series(1, $1::int8)) r
 CROSS JOIN LATERAL (SELECT d."DocumentUuid" FROM "dms"."Document" d
                      WHERE d."DocumentId" >= r.at ORDER BY d."DocumentId" LIMIT 1) n
