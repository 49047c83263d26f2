SELECT EXISTS (SELECT FROM pg_locks l WHERE l.locktype = 'transactionid' AND l.granted
               AND l.transactionid::text = ANY ($1::text[])) AS "AnyRunning"
