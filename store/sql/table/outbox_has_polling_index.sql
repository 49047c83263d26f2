SELECT to_regclass('"dms"."IX_Outbox_Transaction"') IS NOT NULL AS "Exists"
