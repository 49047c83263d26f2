-- A change may be handed on as soon as it is visible, so a commit of this session has to survive a crash by then. Stronger
-- settings of the host stay.
SELECT pg_is_in_recovery() AS "InRecovery",
       EXISTS (SELECT FROM pg_attribute
                WHERE attrelid = to_regclass('"dms"."EffectiveSchema"') AND attname = 'History' AND NOT attisdropped)
         AS "Provisioned",
       CASE WHEN current_setting('synchronous_commit') = 'off' THEN set_config('synchronous_commit', 'on', false) END
         AS "Raised"
