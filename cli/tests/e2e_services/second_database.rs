//! A second database that is configured with the topic and indexes of the first by mistake.

use crate::operator::Operator;
use crate::support::process::{Process, Setup, run};
use crate::support::report;
use millstream_testkit::{TestDatabase, wait_until};
use serde_json::{Value, json};
use std::time::Duration;

const WITHIN: Duration = Duration::from_secs(60);

impl Operator {
    /// No document of another database gets into the copies.
    pub(crate) async fn keeps_a_second_database_out(&self) {
        let database = TestDatabase::create_in(&self.installation.cluster).await;
        let flags = self.installation.setup.flags.iter().filter(|flag| !flag.starts_with("--sinks="));
        let setup = Setup {
            data_dir: self.installation.folder.path().join("second"),
            database: database.options().clone(),
            listen: "127.0.0.1:0".to_owned(),
            flags: flags
                .cloned()
                .chain(["--sinks=kafka,opensearch", "--source-slot=second"].map(str::to_owned))
                .collect(),
            ..self.installation.setup.clone()
        };
        let up = Process::start(&setup).await;
        let student = json!({"studentUniqueId": "second-1", "firstName": "Mae", "lastSurname": "Second",
                             "birthData": {"birthDate": "2014-01-01"}});
        let reply = up.http.post(&self.students, student.to_string()).await;
        assert!(reply.is_success(), "{reply:?}");
        wait_until("the lane to report the owner of the topic", WITHIN, || async {
            let lanes = status(&setup).await["lanes"].as_array().cloned().unwrap_or_default();
            let reports_owner = |lane: &Value| lane["last_error"].to_string().contains("another database");
            lanes.iter().any(|lane| lane["name"] == "kafka" && lane["depth"] == 1 && reports_owner(lane))
        })
        .await;
        let (code, text) = run(&setup, &["sink", "add", "opensearch"]).await;
        assert!(code == Some(1) && text.contains("another database"), "{code:?} {text}");
        up.stop().await;
        report!("a second database did not get into the topic and the indexes");
        self.installation.verify().await;
    }
}

async fn status(setup: &Setup) -> Value {
    let (_, text) = run(setup, &["status", "--json", "--log-level=error"]).await;
    serde_json::from_str(&text).unwrap_or_default()
}
