//! Replication slots of test databases. A database with a slot cannot be dropped.

use std::time::Duration;

use tokio_postgres::Client;

use crate::wait::wait_until;

/// Time limit for the end of a terminated walsender.
const SENDER_EXIT_DEADLINE: Duration = Duration::from_secs(20);

/// Creates a logical slot for pgoutput in the database of `client`.
pub async fn create(client: &Client, name: &str) {
    client
        .execute("SELECT pg_create_logical_replication_slot($1::text, 'pgoutput')", &[&name])
        .await
        .unwrap_or_else(|error| panic!("slot {name} cannot be created: {error:?}"));
}

/// Drops every slot of the database `dbname` and disconnects its readers.
pub async fn drop_all(client: &Client, dbname: &str) {
    wait_until("the database has no replication slot any more", SENDER_EXIT_DEADLINE, || async {
        let slots = client
            .query("SELECT slot_name::text, active_pid FROM pg_replication_slots WHERE database = $1", &[&dbname])
            .await
            .expect("slots can be listed");
        for slot in &slots {
            let (name, active_pid): (String, Option<i32>) = (slot.get(0), slot.get(1));
            let outcome = match active_pid {
                Some(pid) => client.execute("SELECT pg_terminate_backend($1::int4)", &[&pid]).await,
                None => client.execute("SELECT pg_drop_replication_slot($1::text)", &[&name]).await,
            };
            // A reader may have reconnected, or the slot may be dropped already: the next iteration decides.
            drop(outcome);
        }
        slots.is_empty()
    })
    .await;
}
