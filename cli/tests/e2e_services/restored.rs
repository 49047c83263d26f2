//! A database that was restored to an earlier state: it begins with new copies, and does nothing to the old ones.

use crate::operator::{Office, student};
use crate::support::child::{Setup, Up, run};
use crate::support::say;
use millstream_testkit::TestDatabase;
use millstream_testkit::contract::rebuild_from_topic;

/// The next generation of the topic, as the contract names it.
const TOPIC: &str = "ed-fi.instance.a1-g2.documents.v1";
/// What it is held to.
const PAGE: &str = include_str!("../../../docs/how-to/restore-a-database.md");

impl Office {
    /// RECOVERABLE: what the page says about a restore. The database is put back to where it was before the last edit,
    /// which every copy has.
    pub(crate) async fn begins_anew_after_a_restore(self) {
        let Self { mut place, up, students } = self;
        up.stop().await;
        let restored = TestDatabase::copy_of(&place.cluster, &place.database).await;
        let up = Up::start(&place.setup).await;
        let lost = up.http.post(&students, student(99, "Lost with the restore").to_string()).await;
        let lost = lost.id.expect("an id").to_string();
        place.wait_delivered().await;
        up.stop().await;

        let (_, sql) = PAGE.split_once("```sql\n").expect("what gives the database an id of its own");
        let (sql, _) = sql.split_once("```").expect("its end");
        restored.session().await.batch_execute(sql).await.expect("it has an id of its own");
        place.setup.database = restored.options().clone();
        place.setup.flags.push("--source-slot=restored".to_owned());
        let (code, text) = run(&place.setup, &["up"]).await;
        assert!(code == Some(1) && text.contains("another database") && text.contains("queue.dir"), "{code:?} {text}");

        // A queue of its own does not help it to the old copies.
        place.setup = Setup { data_dir: place.folder.path().join("restored"), ..place.setup };
        let (code, text) = run(&place.setup, &["verify", "--wait-s=1"]).await;
        assert_eq!(code, Some(3), "no copy is of it: {text}");
        place.setup.flags.push(format!("--kafka-topic={TOPIC}"));
        place.setup.flags.push("--opensearch-prefix=millstream-g2".to_owned());
        let up = Up::start(&place.setup).await;
        place.wait_lanes(3).await;
        place.wait_delivered().await;
        place.verify().await;
        assert_eq!(up.http.get(&format!("{students}/{lost}")).await.status, 404);
        let servers = place.kafka.bootstrap_servers();
        let state = tokio::task::spawn_blocking(move || rebuild_from_topic(&servers, TOPIC)).await.expect("it is read");
        assert!(!state.is_empty() && !state.contains_key(&lost), "the new topic has what was lost");
        say!("a restored database was refused the old copies and filled {} documents into new ones", state.len());
        up.stop().await;
    }
}
