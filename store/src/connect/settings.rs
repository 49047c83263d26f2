//! The settings that a session gives itself, so that those of the role, the database or the server do not reach it.

use std::time::Duration;

/// Limits of a session. `None` is unlimited; settings of the role, the database and the server never apply.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SessionSettings {
    /// `lock_timeout`: the server refuses a lock that is not granted within this time.
    pub lock_timeout: Option<Duration>,
    /// `statement_timeout`: the server cancels a statement that runs for longer.
    pub statement_timeout: Option<Duration>,
    /// `idle_in_transaction_session_timeout`: the server ends a session that holds a transaction and sends nothing.
    pub idle_in_transaction_timeout: Option<Duration>,
}

/// Interval at which the server looks during a statement whether the client is still connected.
const CLIENT_CHECK_INTERVAL_MS: u128 = 10_000;

impl SessionSettings {
    /// The statements that apply the settings.
    ///
    /// * JIT is off: the statements are short and many, and compiling one costs more than running it.
    /// * The isolation level is the one that the writer's locking protocol needs (docs/design/rules.md#rule-1): a
    ///   statement after a lock has to see what the former holder committed.
    /// * Sessions of a pool may be idle for as long as the pool wants.
    /// * A change may be handed on as soon as it is visible, so a commit has to survive a crash by then:
    ///   `synchronous_commit = off` of the host becomes `on`. Stronger settings stay.
    /// * `client_connection_check_interval` ends the statement of a client that is gone. Some platforms do not support
    ///   it.
    ///
    /// A parameter that this version of the server does not have is skipped.
    pub(super) fn sql(&self) -> String {
        let ms = |limit: Option<Duration>| limit.map_or(0, milliseconds);
        let values = [
            ("jit", "off".to_owned()),
            ("default_transaction_isolation", "read committed".to_owned()),
            ("default_transaction_deferrable", "off".to_owned()),
            ("lock_timeout", ms(self.lock_timeout).to_string()),
            ("statement_timeout", ms(self.statement_timeout).to_string()),
            ("idle_in_transaction_session_timeout", ms(self.idle_in_transaction_timeout).to_string()),
            ("idle_session_timeout", "0".to_owned()),
            ("transaction_timeout", "0".to_owned()),
        ];
        let values = values.map(|(name, value)| format!("('{name}', '{value}')")).join(", ");
        format!(
            "SELECT set_config(name, value, false) FROM (VALUES {values}) AS setting(name, value)
              WHERE current_setting(name, true) IS NOT NULL;
             SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off';
             DO $$ BEGIN PERFORM set_config('client_connection_check_interval', '{CLIENT_CHECK_INTERVAL_MS}', false);
                   EXCEPTION WHEN OTHERS THEN NULL; END $$"
        )
    }
}

/// A limit as PostgreSQL takes it: in whole milliseconds, and never 0, which is unlimited.
pub(crate) fn milliseconds(limit: Duration) -> u128 {
    limit.as_millis().clamp(1, i32::MAX as u128)
}
