//! Settings of the server and of the role that somebody else chose.

use super::under_traffic;
use crate::installation::Installation;
use crate::support::random::Random;
use millstream_store::connect::Session;
use std::time::Duration;

const READ_ONLY: Duration = Duration::from_secs(3);
const SHORT_TIMEOUTS: Duration = Duration::from_secs(8);
/// Times that the timeout of statements becomes too short.
const STORMS: usize = 4;

/// The server takes no writes for a while, as after a switchover to the wrong side.
pub(super) async fn read_only(installation: &mut Installation, random: &mut Random) {
    let admin = installation.session().await;
    let set = async |value: &str| {
        let sql = format!("ALTER SYSTEM SET default_transaction_read_only = {value}");
        admin.batch_execute(&sql).await.expect("the setting can be changed");
        admin.batch_execute("SELECT pg_reload_conf()").await.expect("the settings can be read again");
    };
    let fault = async {
        set("on").await;
        tokio::time::sleep(READ_ONLY).await;
        set("off").await;
    };
    under_traffic(&installation.traffic, random, fault).await;
}

/// The role has the timeouts that administrators set against forgotten sessions.
pub(super) async fn role_timeouts(installation: &mut Installation, random: &mut Random) {
    let admin = installation.session().await;
    let settings = [
        ("statement_timeout", "300ms"),
        ("lock_timeout", "50ms"),
        ("idle_in_transaction_session_timeout", "500ms"),
        ("idle_session_timeout", "1s"),
    ];
    let fault = async {
        for (name, value) in settings {
            set_for_database(&admin, &format!("SET {name} = '{value}'")).await;
        }
        end_sessions(&admin).await;
        // Renames wait for a lock.
        admin.batch_execute(r#"BEGIN; SELECT FROM "dms"."IdentityLock" FOR SHARE"#).await.expect("rows can be locked");
        tokio::time::sleep(SHORT_TIMEOUTS / 2).await;
        admin.batch_execute("COMMIT").await.expect("the transaction ends");
        tokio::time::sleep(SHORT_TIMEOUTS / 2).await;
        set_for_database(&admin, "RESET ALL").await;
        end_sessions(&admin).await;
    };
    under_traffic(&installation.traffic, random, fault).await;
}

/// Every statement is cancelled, for a moment, again and again.
pub(super) async fn statement_timeouts(installation: &mut Installation, random: &mut Random) {
    let admin = installation.session().await;
    let mut own = random.split();
    let fault = async {
        for _ in 0..STORMS {
            set_for_database(&admin, "SET statement_timeout = '2ms'").await;
            end_sessions(&admin).await;
            tokio::time::sleep(own.between(Duration::from_secs(1), Duration::from_secs(3))).await;
            set_for_database(&admin, "RESET statement_timeout").await;
            end_sessions(&admin).await;
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    };
    under_traffic(&installation.traffic, random, fault).await;
}

async fn set_for_database(admin: &Session, change: &str) {
    let sql = format!("ALTER DATABASE chaos {change}");
    admin.batch_execute(&sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
}

/// Ends all other sessions: only new ones get the settings of the database.
pub(super) async fn end_sessions(admin: &Session) {
    let sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
               WHERE datname = current_database() AND pid <> pg_backend_pid()";
    admin.batch_execute(sql).await.expect("sessions can be ended");
}
