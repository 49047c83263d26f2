//! A second installation that was given the copies of the first by mistake.

use crate::operator::Office;
use crate::support::child::{Setup, Up, run};
use crate::support::say;
use millstream_testkit::{TestDatabase, wait_until};
use serde_json::{Value, json};
use std::time::Duration;

const WITHIN: Duration = Duration::from_secs(60);

impl Office {
    /// Nothing of another database gets into the copies, and nobody else's documents are found in them.
    pub(crate) async fn keeps_a_neighbour_out(&self) {
        let database = TestDatabase::create_in(&self.place.cluster).await;
        let flags = self.place.setup.flags.iter().filter(|flag| !flag.starts_with("--sinks="));
        let setup = Setup {
            data_dir: self.place.folder.path().join("neighbour"),
            database: database.options().clone(),
            listen: "127.0.0.1:0".to_owned(),
            flags: flags
                .cloned()
                .chain(["--sinks=kafka,opensearch", "--source-slot=neighbour"].map(str::to_owned))
                .collect(),
            ..self.place.setup.clone()
        };
        let up = Up::start(&setup).await;
        let stranger = json!({"studentUniqueId": "neighbour-1", "firstName": "Mae", "lastSurname": "Neighbour",
                              "birthData": {"birthDate": "2014-01-01"}});
        let reply = up.http.post(&self.students, stranger.to_string()).await;
        assert!(reply.is_success(), "{reply:?}");
        wait_until("the lane to say whose topic it is", WITHIN, || async {
            let lanes = status(&setup).await["lanes"].as_array().cloned().unwrap_or_default();
            let said = |lane: &Value| lane["last_error"].to_string().contains("another database");
            lanes.iter().any(|lane| lane["name"] == "kafka" && lane["depth"] == 1 && said(lane))
        })
        .await;
        let (code, text) = run(&setup, &["sink", "add", "opensearch"]).await;
        assert!(code == Some(1) && text.contains("another database"), "{code:?} {text}");
        up.stop().await;
        say!("a second database was kept out of the topic and the indexes");
        self.place.verify().await;
    }
}

async fn status(setup: &Setup) -> Value {
    let (_, text) = run(setup, &["status", "--json", "--log-level=error"]).await;
    serde_json::from_str(&text).unwrap_or_default()
}
