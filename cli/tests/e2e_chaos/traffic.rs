//! Clients during a trial: writers whose answered writes are remembered, a renamer, and a reader of an unrelated document.

use crate::support::answered_writes::AnsweredWrites;
use crate::support::district::{self, class_period, enrolment, enrolment_in_period, post_school};
use crate::support::http::{Http, Reply};
use crate::support::random::Random;
use parking_lot::Mutex;
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Number of concurrent writers of students and enrolments.
const WRITERS: usize = 4;
/// The longest wait of a client for an answer.
const CLIENT_TIMEOUT: Duration = Duration::from_secs(100);
/// Pause after a request without success, and between two requests for the unrelated document.
const PAUSE: Duration = Duration::from_millis(50);
/// Pause between two renames.
const RENAME_PAUSE: Duration = Duration::from_millis(300);
/// Id of the school.
const SCHOOL: i64 = 77;
/// First name of the class period that is renamed all the time.
const PERIOD: &str = "1st";
/// Name of the class period that trials with locks rename.
const LOCKED_PERIOD: &str = "Lunch";
/// Students with an enrolment that embeds the renamed period.
pub(crate) const DEPENDENTS: usize = 30;

/// The clients' memory, and what they saw.
pub(crate) struct Traffic {
    http: Http,
    pub(crate) writes: AnsweredWrites,
    /// The student of each enrolment, by path.
    pub(crate) enrolments: Mutex<BTreeMap<String, String>>,
    pub(crate) seen: Mutex<Seen>,
    /// Path of the document that no writer touches.
    unrelated: String,
    /// The class period that is renamed all the time.
    period: Uuid,
    /// The class period that trials with locks rename.
    locked_period: Uuid,
    next: AtomicU64,
}

/// The observations of the clients in one trial.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen {
    pub(crate) answered: u64,
    /// Answers that ask for a retry: 503, 429.
    pub(crate) unavailable: u64,
    /// Other answers from 500 on.
    pub(crate) failed: u64,
    pub(crate) refused: u64,
    /// Requests without an answer.
    pub(crate) silent: u64,
    /// One of the other answers.
    pub(crate) example: Option<String>,
    pub(crate) get_longest: Duration,
    pub(crate) gets: u64,
    pub(crate) gets_failed: u64,
    /// Those of the failed GETs that were answered with 503.
    pub(crate) gets_unavailable: u64,
}

impl Traffic {
    /// Posts the documents that the clients refer to.
    pub(crate) async fn begin(http: &Http) -> Self {
        let http = http.limited(CLIENT_TIMEOUT, false);
        let post = async |endpoint, body| district::post(&http, endpoint, body).await;
        let unrelated = format!("meadow/gradeLevelDescriptors/{}", post_school(&http, SCHOOL).await);
        let period = post("classPeriods", class_period(PERIOD, SCHOOL)).await;
        let locked_period = post("classPeriods", class_period(LOCKED_PERIOD, SCHOOL)).await;
        for number in 0..DEPENDENTS {
            let student = format!("base-{number}");
            post("students", district::student(&student, "Ada")).await;
            post("studentSchoolAssociations", enrolment_in_period(&student, SCHOOL, PERIOD)).await;
        }
        let (writes, enrolments, seen) = Default::default();
        Self { http, writes, enrolments, seen, unrelated, period, locked_period, next: AtomicU64::new(1) }
    }

    /// Writes, renames and reads until `stop` is cancelled.
    pub(crate) async fn run(&self, random: &mut Random, stop: &CancellationToken) {
        let writers = (0..WRITERS).map(|_| self.write(random.split(), stop)).collect::<Vec<_>>();
        tokio::join!(futures::future::join_all(writers), self.rename(stop), self.read(stop));
    }

    /// Reads the unrelated document until `stop` is cancelled, each time through a new connection.
    pub(crate) async fn read(&self, stop: &CancellationToken) {
        let http = self.http.limited(CLIENT_TIMEOUT, true);
        while !stop.is_cancelled() {
            let begun = Instant::now();
            // A request that the end of the trial interrupts has waited until then.
            let reply = stop.run_until_cancelled(http.try_get(&self.unrelated)).await;
            self.count_get(begun.elapsed(), reply.map(|reply| reply.map_or(0, |reply| reply.status)));
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// `status` is 0 without an answer; `None` if the trial ended before one.
    fn count_get(&self, took: Duration, status: Option<u16>) {
        let mut seen = self.seen.lock();
        seen.get_longest = seen.get_longest.max(took);
        seen.gets += 1;
        seen.gets_failed += u64::from(!matches!(status, None | Some(200)));
        seen.gets_unavailable += u64::from(status == Some(503));
    }

    /// Creates students and enrolments, edits and deletes students.
    async fn write(&self, mut random: Random, stop: &CancellationToken) {
        let mut students: Vec<(Uuid, String)> = Vec::new();
        while !stop.is_cancelled() {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let mark = format!("mark {number}");
            if students.len() < 3 || random.chance(25) {
                let student = format!("c-{number}");
                students.extend(self.create(&student, &mark).await.map(|id| (id, student.clone())));
                if random.chance(50) {
                    self.enrol(&student).await;
                }
            } else if random.chance(15) {
                let (id, _) = students.swap_remove(random.below(students.len()));
                let reply = self.classify(self.http.try_delete(&student_path(id)).await).await;
                match reply {
                    Some(reply) if reply.is_success() => self.writes.deleted(id, true),
                    // An enrolment refers to it.
                    Some(_) => {}
                    None => self.writes.deleted(id, false),
                }
            } else {
                let (id, student) = random.pick(&students).clone();
                let mut body = district::student(&student, &mark);
                body["id"] = json!(id);
                match self.classify(self.http.try_put(&student_path(id), body.to_string()).await).await {
                    Some(Reply { etag: Some(version), .. }) => {
                        self.writes.written(id, student_path(id), version, Some(&mark));
                    }
                    Some(_) => {}
                    None => self.writes.possibly_marked(id, &mark),
                }
            }
        }
    }

    /// Returns an identity that no student had.
    pub(crate) fn new_student(&self) -> String {
        format!("n-{}", self.next.fetch_add(1, Ordering::Relaxed))
    }

    /// Creates a student; returns its id if that was answered.
    pub(crate) async fn create(&self, student: &str, mark: &str) -> Option<Uuid> {
        let body = district::student(student, mark).to_string();
        let reply = self.classify(self.http.try_post("meadow/students", body).await).await?;
        let (id, version) = reply.id.zip(reply.etag).filter(|_| reply.is_success())?;
        self.writes.written(id, student_path(id), version, Some(mark));
        Some(id)
    }

    /// Enrols a student; returns the path of the enrolment if that was answered.
    pub(crate) async fn enrol(&self, student: &str) -> Option<String> {
        let body = enrolment(student, SCHOOL).to_string();
        let reply = self.classify(self.http.try_post("meadow/studentSchoolAssociations", body).await).await?;
        let (id, version) = reply.id.zip(reply.etag).filter(|_| reply.is_success())?;
        let path = format!("meadow/studentSchoolAssociations/{id}");
        self.writes.written(id, path.clone(), version, None);
        self.enrolments.lock().insert(path.clone(), student.to_owned());
        Some(path)
    }

    /// Enrols a base student once more, in the class period that trials with locks rename.
    pub(crate) async fn enrol_in_period(&self, student: &str, day: usize) -> Option<Reply> {
        let mut body = enrolment_in_period(student, SCHOOL, LOCKED_PERIOD);
        body["entryDate"] = json!(format!("2031-{:02}-{:02}", 1 + day / 28 % 12, 1 + day % 28));
        self.classify(self.http.try_post("meadow/studentSchoolAssociations", body.to_string()).await).await
    }

    /// Reads a document; `None` without an answer.
    pub(crate) async fn get(&self, path: &str) -> Option<Reply> {
        self.http.try_get(path).await.ok()
    }

    /// Renames the class period that trials with locks rename, and gives it its name back.
    pub(crate) async fn rename_locked_period(&self) {
        for name in ["Renamed under a lock", LOCKED_PERIOD] {
            self.rename_period(self.locked_period, name).await;
        }
    }

    async fn rename_period(&self, period: Uuid, name: &str) {
        let mut body = class_period(name, SCHOOL);
        body["id"] = json!(period);
        self.classify(self.http.try_put(&format!("meadow/classPeriods/{period}"), body.to_string()).await).await;
    }

    async fn rename(&self, stop: &CancellationToken) {
        while stop.run_until_cancelled(tokio::time::sleep(RENAME_PAUSE)).await.is_some() {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            self.rename_period(self.period, &format!("Period {number}")).await;
        }
    }

    /// Counts an answer. `None`: the outcome of the request is unknown.
    async fn classify(&self, reply: Result<Reply, reqwest::Error>) -> Option<Reply> {
        {
            let mut seen = self.seen.lock();
            match &reply {
                Ok(reply) if reply.is_success() => seen.answered += 1,
                Ok(Reply { status: 503 | 429, .. }) => seen.unavailable += 1,
                Ok(reply) if reply.status >= 500 => {
                    seen.failed += 1;
                    seen.example = Some(format!("{} {}", reply.status, String::from_utf8_lossy(&reply.body)));
                }
                Ok(_) => seen.refused += 1,
                Err(_) => seen.silent += 1,
            }
        }
        let known = reply.ok().filter(|reply| reply.status < 500);
        if known.as_ref().is_none_or(|reply| !reply.is_success()) {
            tokio::time::sleep(PAUSE).await;
        }
        known
    }
}

fn student_path(id: Uuid) -> String {
    format!("meadow/students/{id}")
}
