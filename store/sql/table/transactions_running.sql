-- Transactions of this database that may still commit. Each holds a lock on its own id until every session can see how it
-- ended; unlike an id in a snapshot, that distinguishes one database from its neighbours, whose long transactions are not
-- waited for. Prepared transactions have no session.
SELECT l.transactionid::text AS "TransactionId" FROM pg_locks l
LEFT JOIN pg_stat_activity a ON a.pid = l.pid
LEFT JOIN pg_prepared_xacts p ON p.transaction = l.transactionid
WHERE l.locktype = 'transactionid' AND l.granted
  AND (a.datid = (SELECT oid FROM pg_database WHERE datname = current_database()) OR p.database = current_database())
