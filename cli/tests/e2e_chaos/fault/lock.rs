//! Locks that a forgotten session holds.

use super::under_traffic;
use crate::installation::Installation;
use crate::support::random::Random;
use crate::traffic::{DEPENDENTS, Traffic};
use futures::future::join_all;
use std::time::Duration;

/// How long the session is forgotten: longer than a request for another document may take.
const HELD: Duration = Duration::from_secs(12);
/// Writes that need the lock: more than the pool has connections.
const BLOCKED: usize = 40;
/// The advisory lock of the writers' turnstile (`store::transaction::locks`).
const TURNSTILE: i64 = 0x6d73_7475_726e;

/// A share lock on the identity of a class period, which a rename waits for.
pub(super) async fn row(installation: &mut Installation, random: &mut Random) {
    let sql = r#"SELECT FROM "dms"."IdentityLock" FOR SHARE"#;
    hold(installation, sql, random, async |traffic: &Traffic| {
        tokio::join!(traffic.rename_locked_period(), enrol_many(traffic));
    })
    .await;
}

/// An exclusive lock on the table of students.
pub(super) async fn table(installation: &mut Installation, random: &mut Random) {
    let sql =
        "SELECT format('%I.%I', table_schema, table_name) FROM information_schema.tables WHERE table_name = 'Student'";
    let name: String = installation.session().await.query_one(sql, &[]).await.expect("the table is there").get(0);
    let sql = format!("LOCK TABLE {name} IN ACCESS EXCLUSIVE MODE");
    hold(installation, &sql, random, async |traffic: &Traffic| {
        // Clients that hang up after a second.
        let impatient = (0..BLOCKED).map(|_| async {
            drop(
                tokio::time::timeout(Duration::from_secs(1), traffic.get("meadow/students?limit=5&lastSurname=Abara"))
                    .await,
            );
        });
        join_all(impatient).await;
    })
    .await;
}

/// The advisory lock that every writer of a reference to a changeable identity passes.
pub(super) async fn advisory(installation: &mut Installation, random: &mut Random) {
    let sql = format!("SELECT pg_advisory_lock({TURNSTILE})");
    hold(installation, &sql, random, enrol_many).await;
}

/// Holds a lock while clients write, and others need it.
async fn hold(installation: &mut Installation, sql: &str, random: &mut Random, need: impl AsyncFn(&Traffic)) {
    let holder = installation.session().await;
    let traffic = &installation.traffic;
    let held = async {
        holder.batch_execute("BEGIN").await.expect("a transaction begins");
        holder.batch_execute(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
        let forgotten = async {
            tokio::time::sleep(HELD).await;
            drop(holder);
        };
        tokio::join!(forgotten, need(traffic));
    };
    under_traffic(traffic, random, held).await;
}

/// Posts enrolments in the class period that is renamed.
async fn enrol_many(traffic: &Traffic) {
    let enrolling = (0..BLOCKED).map(|number| async move {
        let student = format!("base-{}", number % DEPENDENTS);
        traffic.enrol_in_period(&student, number).await;
    });
    join_all(enrolling).await;
}
