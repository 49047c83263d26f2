//! A database restored to an earlier state: it fills new copies and does not touch the old ones.

use crate::operator::{Operator, student};
use crate::support::process::{Process, Setup, run};
use crate::support::report;
use millstream_testkit::TestDatabase;
use millstream_testkit::contract::rebuild_from_topic;

/// Name of the next generation of the topic, as the topic contract defines it.
const TOPIC: &str = "ed-fi.instance.a1-g2.documents.v1";
/// The page with the statements of a restore.
const PAGE: &str = include_str!("../../../docs/how-to/restore-a-database.md");

impl Operator {
    /// RECOVERABLE: follows the page on restores. The database is restored to the state before the last edit, which
    /// every copy contains.
    pub(crate) async fn starts_with_new_copies_after_a_restore(self) {
        let Self { mut installation, up, students } = self;
        up.stop().await;
        let restored = TestDatabase::copy_of(&installation.cluster, &installation.database).await;
        let up = Process::start(&installation.setup).await;
        let lost = up.http.post(&students, student(99, "Lost with the restore").to_string()).await;
        let lost = lost.id.expect("an id").to_string();
        installation.wait_delivered().await;
        up.stop().await;

        let (_, sql) = PAGE.split_once("```sql\n").expect("the page has an SQL block");
        let (sql, _) = sql.split_once("```").expect("the SQL block ends");
        restored.session().await.batch_execute(sql).await.expect("the database gets a new id");
        installation.setup.database = restored.options().clone();
        installation.setup.flags.push("--source-slot=restored".to_owned());
        let (code, text) = run(&installation.setup, &["up"]).await;
        assert!(code == Some(1) && text.contains("another database") && text.contains("queue.dir"), "{code:?} {text}");

        // A new queue does not give access to the old copies.
        installation.setup = Setup { data_dir: installation.folder.path().join("restored"), ..installation.setup };
        let (code, text) = run(&installation.setup, &["verify", "--wait-s=1"]).await;
        assert_eq!(code, Some(3), "the copies belong to another database: {text}");
        installation.setup.flags.push(format!("--kafka-topic={TOPIC}"));
        installation.setup.flags.push("--opensearch-prefix=millstream-g2".to_owned());
        let up = Process::start(&installation.setup).await;
        installation.wait_lanes(3).await;
        installation.wait_delivered().await;
        installation.verify().await;
        assert_eq!(up.http.get(&format!("{students}/{lost}")).await.status, 404);
        let servers = installation.kafka.bootstrap_servers();
        let state =
            tokio::task::spawn_blocking(move || rebuild_from_topic(&servers, TOPIC)).await.expect("the topic is read");
        assert!(!state.is_empty() && !state.contains_key(&lost), "the new topic contains the lost document");
        report!("a restored database was refused the old copies and filled new ones with {} documents", state.len());
        up.stop().await;
    }
}
