SELECT x."TransactionId" FROM unnest($1::xid8[]) AS x("TransactionId")
WHERE NOT pg_visible_in_snapshot(x."TransactionId", pg_current_snapshot())
