SELECT pg_is_in_recovery() AS "InRecovery",
       EXISTS (SELECT FROM pg_attribute
                WHERE attrelid = to_regclass('"dms"."EffectiveSchema"') AND attname = 'History' AND NOT attisdropped)
         AS "Provisioned"
