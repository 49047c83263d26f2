//! Concurrent writers: students are edited, created and deleted, and a class period with many enrolments is renamed.

use crate::support::district::{self, class_period, enrolment_in_period, grade, school};
use crate::support::http::{Http, Reply};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Enrolments that embed the renamed period.
const DEPENDENTS: usize = 120;
/// Number of concurrent editors.
const EDITORS: usize = 3;
/// Pause between two renames.
const RENAME_PAUSE: Duration = Duration::from_millis(400);

/// Id of the school.
const SCHOOL: i64 = 77;
/// First name of the renamed period.
const PERIOD: &str = "1st";

/// The writers and their counters.
pub(crate) struct Load {
    http: Http,
    period: Uuid,
    pub(crate) writes: AtomicU64,
    pub(crate) renames: AtomicU64,
}

impl Load {
    /// Posts the documents that the writers change.
    pub(crate) async fn new(http: Http) -> Self {
        let load = Self { http, period: Uuid::nil(), writes: AtomicU64::default(), renames: AtomicU64::default() };
        load.post("gradeLevelDescriptors", grade()).await;
        load.post("schools", school(SCHOOL)).await;
        let period = load.post("classPeriods", class_period(PERIOD, SCHOOL)).await.id.expect("an id");
        for number in 0..DEPENDENTS {
            load.post("students", student(number, "Ada")).await;
            let enrolment = enrolment_in_period(&unique_id(number), SCHOOL, PERIOD);
            load.post("studentSchoolAssociations", enrolment).await;
        }
        Self { period, ..load }
    }

    /// Writes until `stop` is cancelled. Every write must be accepted: the API needs neither brokers nor projectors.
    pub(crate) async fn run(&self, stop: &CancellationToken) {
        let editors = (0..EDITORS).map(|number| self.edit(number, stop));
        tokio::join!(futures::future::join_all(editors), self.rename(stop), self.create_and_delete(stop));
    }

    async fn edit(&self, number: usize, stop: &CancellationToken) {
        let mut edit = 0;
        while !stop.is_cancelled() {
            edit += 1;
            self.post("students", student(number, &format!("Edit {edit}"))).await;
        }
    }

    async fn create_and_delete(&self, stop: &CancellationToken) {
        let mut number = 1_000;
        while !stop.is_cancelled() {
            number += 1;
            let created = self.post("students", student(number % 1_100 + 1_000, "Brief")).await;
            let path = format!("meadow/students/{}", created.id.expect("an id"));
            let deleted = self.http.try_delete(&path).await.expect("a response");
            assert!(deleted.is_success(), "{deleted:?}");
            self.writes.fetch_add(1, Ordering::Relaxed);
        }
    }

    async fn rename(&self, stop: &CancellationToken) {
        while stop.run_until_cancelled(tokio::time::sleep(RENAME_PAUSE)).await.is_some() {
            let number = self.renames.fetch_add(1, Ordering::Relaxed);
            let mut body = class_period(&format!("Period {number}"), SCHOOL);
            body["id"] = json!(self.period);
            let path = format!("meadow/classPeriods/{}", self.period);
            let renamed = self.http.put(&path, body.to_string()).await;
            assert!(renamed.is_success(), "{renamed:?}");
        }
    }

    async fn post(&self, endpoint: &str, body: Value) -> Reply {
        let reply = self.http.post(&format!("meadow/{endpoint}"), body.to_string()).await;
        assert!(reply.is_success(), "{endpoint}: {reply:?}");
        self.writes.fetch_add(1, Ordering::Relaxed);
        reply
    }
}

fn student(number: usize, name: &str) -> Value {
    district::student(&unique_id(number), name)
}

fn unique_id(number: usize) -> String {
    format!("R-{number}")
}
