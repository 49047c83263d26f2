//! A running process on a cluster of its own, and the students that it should know.

use crate::support::district::{enrolment, post, post_school, put, student};
use crate::support::http::{Http, Reply};
use crate::support::process::{Process, Setup, run};
use millstream_store::connect::{ConnectOptions, Session};
use millstream_testkit::{TestCluster, World, wait_until};
use serde_json::json;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::Range;
use std::time::Duration;
use tempfile::TempDir;
use uuid::Uuid;

/// Limit of one step.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(120);

const DATABASE: &str = "district";
/// Id of the school.
const SCHOOL: i64 = 1;

/// A student with an enrolment.
#[derive(Debug, Clone)]
struct Enrolled {
    unique_id: String,
    first_name: String,
    student: Uuid,
    enrolment: Option<Uuid>,
}

/// The process and what it should serve.
pub(crate) struct District {
    /// The database itself, not through the proxy.
    pub(crate) database: ConnectOptions,
    setup: Setup,
    up: Process,
    http: Http,
    groups: BTreeMap<&'static str, Vec<Enrolled>>,
    /// Deleted enrolments, which a restore brings back.
    deleted: BTreeMap<(&'static str, usize), Uuid>,
    _folder: TempDir,
}

impl District {
    /// Starts `up` with an embedded index, through a proxy if there is one, and posts a school.
    pub(crate) async fn start(cluster: &TestCluster, proxy: Option<SocketAddr>, flags: &[String]) -> Self {
        let database = cluster.create_database(DATABASE).await;
        let reached = match proxy {
            Some(address) => database.clone().with_address("127.0.0.1", address.port()),
            None => database.clone(),
        };
        let folder = tempfile::tempdir().expect("a folder");
        let setup = Setup {
            schema_dir: World::fixtures().corpus.schema_dir(),
            data_dir: folder.path().join("data"),
            database: reached,
            listen: "127.0.0.1:0".to_owned(),
            flags: [vec!["--sinks=embedded".to_owned()], flags.to_vec()].concat(),
        };
        let up = Process::start(&setup).await;
        let http = up.http.clone();
        post_school(&http, SCHOOL).await;
        Self { database, setup, up, http, groups: BTreeMap::new(), deleted: BTreeMap::new(), _folder: folder }
    }

    /// Posts students with enrolments.
    pub(crate) async fn enrol(&mut self, group: &'static str, count: usize) {
        for number in 0..count {
            let unique_id = format!("{group}-{number}");
            let student = post(&self.http, "students", student(&unique_id, group)).await;
            let enrolment = post(&self.http, "studentSchoolAssociations", enrolment(&unique_id, SCHOOL)).await;
            let enrolment = Some(enrolment);
            let enrolled = Enrolled { unique_id, first_name: group.to_owned(), student, enrolment };
            self.groups.entry(group).or_default().push(enrolled);
        }
    }

    /// Gives students another first name.
    pub(crate) async fn rename_students(&mut self, group: &'static str, numbers: Range<usize>, first_name: &str) {
        for enrolled in &mut self.groups.get_mut(group).expect("the group")[numbers] {
            put(&self.http, "students", enrolled.student, student(&enrolled.unique_id, first_name)).await;
            first_name.clone_into(&mut enrolled.first_name);
        }
    }

    /// Deletes enrolments.
    pub(crate) async fn delete_enrolments(&mut self, group: &'static str, numbers: Range<usize>) {
        for number in numbers {
            let enrolled = &mut self.groups.get_mut(group).expect("the group")[number];
            let id = enrolled.enrolment.take().expect("an enrolment");
            let reply = self.http.try_delete(&format!("meadow/studentSchoolAssociations/{id}")).await;
            assert!(reply.as_ref().is_ok_and(Reply::is_success), "{reply:?}");
            self.deleted.insert((group, number), id);
        }
    }

    /// Expects the names that students had before they were edited.
    pub(crate) fn restore_names(&mut self, group: &'static str, numbers: Range<usize>) {
        for enrolled in &mut self.groups.get_mut(group).expect("the group")[numbers] {
            group.clone_into(&mut enrolled.first_name);
        }
    }

    /// Expects deleted enrolments again.
    pub(crate) fn restore_enrolments(&mut self, group: &'static str, numbers: Range<usize>) {
        for number in numbers {
            let id = self.deleted.remove(&(group, number)).expect("it was deleted");
            self.groups.get_mut(group).expect("the group")[number].enrolment = Some(id);
        }
    }

    /// Expects a group no more; returns the paths of its documents.
    pub(crate) fn forget(&mut self, group: &'static str) -> Vec<String> {
        let lost = self.groups.remove(group).expect("the group");
        let paths = |enrolled: Enrolled| {
            let enrolment = enrolled.enrolment.map(|id| format!("meadow/studentSchoolAssociations/{id}"));
            [Some(format!("meadow/students/{}", enrolled.student)), enrolment]
        };
        lost.into_iter().flat_map(paths).flatten().collect()
    }

    /// Reads every document. Each has to be served, and with the identity of its own person.
    pub(crate) async fn read_all(&self) {
        let mut read = 0;
        for enrolled in self.groups.values().flatten() {
            let found = self.http.get(&format!("meadow/students/{}", enrolled.student)).await;
            assert_eq!(found.status, 200, "{enrolled:?}: {found:?}");
            let (id, name) = (&found.json()["studentUniqueId"], &found.json()["firstName"]);
            assert_eq!((id, name), (&json!(enrolled.unique_id), &json!(enrolled.first_name)));
            if let Some(enrolment) = enrolled.enrolment {
                let found = self.http.get(&format!("meadow/studentSchoolAssociations/{enrolment}")).await;
                assert_eq!(found.status, 200, "{enrolled:?}: {found:?}");
                let person = &found.json()["studentReference"]["studentUniqueId"];
                assert_eq!(person, &json!(enrolled.unique_id), "another person's identity: {enrolled:?}");
            }
            read += 1;
        }
        assert!(read > 0, "nothing was read");
    }

    /// None of the documents exists.
    pub(crate) async fn assert_absent(&self, paths: &[String]) {
        assert!(!paths.is_empty(), "nothing was lost");
        for path in paths {
            assert_eq!(self.http.get(path).await.status, 404, "{path}");
        }
    }

    pub(crate) async fn wait_ready(&mut self) {
        wait_until("the process to be ready", TIMEOUT, || self.http.is_ready()).await;
        self.up.assert_alive();
    }

    /// Waits until the process has logged a text.
    pub(crate) async fn wait_logged(&mut self, text: &str) {
        let setup = self.setup.clone();
        wait_until("a line in the log", TIMEOUT, || async { setup.log_tail().contains(text) }).await;
        self.up.assert_alive();
    }

    /// Waits until cache and sink equal the tables, body for body.
    pub(crate) async fn wait_equal(&mut self) {
        let (code, text) = run(&self.setup, &["verify", "--wait-s=120"]).await;
        assert_eq!(code, Some(0), "{text}\n{}", self.setup.log_tail());
        assert!(text.contains("embedded"), "the sink was not compared: {text}");
        self.up.assert_alive();
    }

    /// Returns the number of the database's history.
    pub(crate) async fn history(&self) -> i64 {
        let session = Session::open(&self.database).await.expect("the database answers");
        let sql = r#"SELECT "History" FROM "dms"."EffectiveSchema""#;
        session.query_one(sql, &[]).await.expect("one row").get(0)
    }

    pub(crate) async fn wait_history_after(&self, before: i64) {
        wait_until("a new history", TIMEOUT, || async { self.history().await > before }).await;
    }

    pub(crate) async fn stop(self) {
        self.up.stop().await;
    }
}
