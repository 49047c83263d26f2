//! Renames, compared with an oracle that works on JSON only.
//!
//! From the first read after the response on, every document that embeds the new identity, at any distance, shows it
//! under a new etag, and every other document is unchanged to the byte. Working off the cascades of a rename changes
//! nothing that readers can see.

use crate::exclusive;
use crate::support::comparison::without_server_members;
use crate::support::district::{class_period, enrolment_in_period, student};
use crate::support::http::Http;
use crate::support::oracle::Oracle;
use crate::support::running::Running;
use crate::support::shapes::Shapes;
use crate::support::snapshot::Snapshot;
use crate::support::{loaded, report, tables};
use futures::stream::{self, StreamExt};
use millstream_testkit::World;
use millstream_writer::WriterOptions;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Instant;
use uuid::Uuid;

/// Requests in flight.
const IN_FLIGHT: usize = 8;
/// Number of unchanged documents that are read with a conditional request.
const UNCHANGED_READS: usize = 50;

/// Renamed types: the endpoint, and the identity member that gets a new value.
const FIXTURE_HUBS: [(&str, &str); 2] = [("sessions", "sessionName"), ("classPeriods", "classPeriodName")];
const CORPUS_HUBS: [(&str, &str); 4] = [
    ("sessions", "sessionName"),
    ("classPeriods", "classPeriodName"),
    ("locations", "classroomIdentificationCode"),
    ("sections", "sectionIdentifier"),
];

/// A loaded database in which documents are renamed.
struct RenameTest {
    running: Running,
    shapes: Shapes,
    /// All documents as served before the rename.
    before: Snapshot,
}

impl RenameTest {
    async fn new(world: &'static World, database: millstream_store::connect::Database) -> Self {
        let mut running = Running::on(world, database);
        running.follow().await;
        running.settle().await;
        let api = running.serve(WriterOptions::default()).await;
        let before = Snapshot::take(&api, running.mapping()).await;
        api.stop().await;
        Self { running, shapes: Shapes::read(&world.corpus.schema_paths()), before }
    }

    /// Renames the hub of this type with the given rank by number of referrers.
    ///
    /// Returns the number of cascades that the rename opened.
    async fn rename(&mut self, (endpoint, member): (&str, &str), strict_max: usize, rank: usize) -> i64 {
        let mut oracle = Oracle::of(&self.before, &self.shapes);
        let hubs = oracle.hubs(endpoint);
        let (uuid, _) = hubs[rank.min(hubs.len() - 1)];
        let mut body = without_server_members(&self.before.get(uuid).json());
        let (old, new) = (body[member].clone(), format!("Renamed-{strict_max}-{rank}"));
        body[member] = json!(new);
        let changed = oracle.replace(uuid, body.clone());
        assert!(changed.len() > 1, "nothing depends on {endpoint} {uuid}");

        // Stop the projector, so that cascades stay open during the checks.
        self.running.unfollow().await;
        let api = self.running.serve(WriterOptions { strict_max, ..WriterOptions::default() }).await;
        body["id"] = json!(uuid);
        let started = Instant::now();
        let reply = api.put(&self.before.get(uuid).path(uuid), body.to_string()).await;
        assert_eq!(reply.status, 204, "{reply:?}");
        let duration = started.elapsed();

        let expected = ExpectedRename { before: &self.before, oracle: &oracle, changed: &changed };
        expected.check_first_reads(&api).await;
        let open: i64 = self.running.value(r#"SELECT count(*) FROM "dms"."Cascade""#).await;
        let after = Snapshot::take(&api, self.running.mapping()).await;
        expected.check_everything(&after, reply.etag.expect("an etag"), uuid);
        let stored = tables::referential_ids(&self.running).await;
        assert!(stored == oracle.referential_ids(), "a ReferentialId is not the one of the document's JSON");
        expected.check_conditional_requests(&api).await;
        for value in [new.as_str(), old.as_str().expect("a text")] {
            expected.check_queries(&api, member, value).await;
        }

        self.running.follow().await;
        let settled = self.running.settle().await;
        after.assert_same(
            &Snapshot::take(&api, self.running.mapping()).await,
            "before and after working off the cascades",
        );
        self.running.verify().await;
        report!(
            "{endpoint} renamed with strict_max {strict_max}: {} documents changed, answered in {duration:.1?}, {open} \
             cascades open, worked off in {settled:.1?}",
            changed.len()
        );
        api.stop().await;
        self.before = after;
        if strict_max > changed.len() {
            assert_eq!(open, 0, "the renaming transaction stamps this number itself");
        }
        open
    }
}

/// A rename and its expected effect.
struct ExpectedRename<'a> {
    before: &'a Snapshot,
    oracle: &'a Oracle<'a>,
    changed: &'a BTreeSet<Uuid>,
}

impl ExpectedRename<'_> {
    /// Checks the first read of every changed document.
    async fn check_first_reads(&self, http: &Http) {
        let reads = stream::iter(self.changed).map(|uuid| async move {
            let seen = self.before.get(*uuid);
            let reply = http.get_if_none_match(&seen.path(*uuid), seen.etag).await;
            assert_eq!(reply.status, 200, "{} {uuid}: the old etag must not match: {reply:?}", seen.endpoint.1);
            let etag = reply.etag.expect("an etag");
            assert!(etag > seen.etag, "{} {uuid}: {etag} after {}", seen.endpoint.1, seen.etag);
            let read = reply.json();
            assert_eq!(without_server_members(&read), *self.oracle.body(*uuid), "{} {uuid}", seen.endpoint.1);
            assert!(read["_lastModifiedDate"].as_str() >= seen.json()["_lastModifiedDate"].as_str());
            let again = http.get_if_none_match(&seen.path(*uuid), etag).await;
            assert_eq!((again.status, again.etag), (304, Some(etag)));
        });
        reads.buffer_unordered(IN_FLIGHT).collect::<Vec<()>>().await;
    }

    /// Checks all documents of all collections.
    fn check_everything(&self, after: &Snapshot, answered: i64, renamed: Uuid) {
        assert_eq!(after.get(renamed).etag, answered, "the response has the etag of the document");
        assert_eq!(after.len(), self.before.len());
        for (uuid, was) in self.before.documents() {
            let is = after.get(uuid);
            if !self.changed.contains(&uuid) {
                assert_eq!(is, was, "{} {uuid} is not affected by the rename", was.endpoint.1);
                continue;
            }
            assert!(is.etag > was.etag, "{} {uuid}", was.endpoint.1);
            assert_eq!(without_server_members(&is.json()), *self.oracle.body(uuid), "{} {uuid}", was.endpoint.1);
        }
    }

    /// Checks that queries find documents by their current values.
    async fn check_queries(&self, http: &Http, field: &str, value: &str) {
        let encoded = value.replace('%', "%25").replace(' ', "%20").replace('#', "%23").replace('&', "%26");
        let expected = self.oracle.matches(field, value);
        assert!(!expected.is_empty(), "no type has the query field {field}");
        for ((project, endpoint), count) in expected {
            let path = format!("{project}/{endpoint}?{field}={encoded}&totalCount=true&limit=1");
            let reply = http.get(&path).await;
            assert_eq!((reply.status, reply.total), (200, Some(count)), "{path}: {reply:?}");
        }
    }

    async fn check_conditional_requests(&self, http: &Http) {
        let unchanged = self.before.documents().filter(|(uuid, _)| !self.changed.contains(uuid));
        let step = (self.before.len() / UNCHANGED_READS).max(1);
        for (uuid, seen) in unchanged.step_by(step) {
            let reply = http.get_if_none_match(&seen.path(uuid), seen.etag).await;
            assert_eq!(reply.status, 304, "{} {uuid} did not change: {reply:?}", seen.endpoint.1);
        }
    }
}

async fn rename_hubs(name: &'static str, world: &'static World, hubs: &[(&str, &str)]) {
    let _exclusive = exclusive().await;
    let (database, _) = loaded::copy(name, world).await;
    let mut test = RenameTest::new(world, database.database().clone()).await;
    let strict_max = WriterOptions::default().strict_max;
    for hub in hubs {
        test.rename(*hub, strict_max, 0).await;
        test.rename(*hub, 0, 1).await;
    }
    test.rename(hubs[0], 1, 0).await;
    test.running.unfollow().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fixture_hubs_are_renamed_with_all_that_depends_on_them() {
    rename_hubs("fixtures-loaded", World::fixtures(), &FIXTURE_HUBS).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn corpus_hubs_are_renamed_with_all_that_depends_on_them() {
    let Some(world) = World::corpus_or_skip() else { return };
    rename_hubs("corpus-loaded", world, &CORPUS_HUBS).await;
}

/// Students of the homeroom: more referrers than the renaming transaction stamps itself, and more than one page of a
/// cascade.
const HOMEROOM: usize = 1_200;
/// The school of the homeroom.
const SCHOOL: i64 = 710_001;

/// Posts the students and their enrolments.
async fn fill_homeroom(http: &Http) {
    let period = class_period("Homeroom", SCHOOL);
    assert_eq!(http.post("meadow/classPeriods", period.to_string()).await.status, 201);
    let posts = stream::iter(0..HOMEROOM).map(|number| async move {
        let id = format!("HOME-{number}");
        let reply = http.post("meadow/students", student(&id, "Ada").to_string()).await;
        assert_eq!(reply.status, 201, "{reply:?}");
        let enrolment = enrolment_in_period(&id, SCHOOL, "Homeroom");
        let reply = http.post("meadow/studentSchoolAssociations", enrolment.to_string()).await;
        assert_eq!(reply.status, 201, "{reply:?}");
    });
    posts.buffer_unordered(IN_FLIGHT).collect::<Vec<()>>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_with_more_referrers_than_one_transaction_stamps_is_renamed_at_once_for_every_reader() {
    let _exclusive = exclusive().await;
    let world = World::fixtures();
    let (database, _) = loaded::copy("fixtures-loaded", world).await;
    let running = Running::on(world, database.database().clone());
    let api = running.serve(WriterOptions::default()).await;
    fill_homeroom(&api).await;
    api.stop().await;
    let mut test = RenameTest::new(world, database.database().clone()).await;
    let open = test.rename(("classPeriods", "classPeriodName"), WriterOptions::default().strict_max, 0).await;
    assert_eq!(open, 1, "the rename leaves this number of referrers to a cascade");
    test.running.unfollow().await;
}

/// Requests a change that must be refused, and checks that it changed nothing.
async fn expect_refusal(test: &RenameTest, options: WriterOptions, uuid: Uuid, mut body: Value) {
    let api = test.running.serve(options).await;
    let before = tables::fingerprints_without_locks(&test.running).await;
    body["id"] = json!(uuid);
    let reply = api.put(&test.before.get(uuid).path(uuid), body.to_string()).await;
    assert_eq!(reply.status, 409, "{reply:?} {}", String::from_utf8_lossy(&reply.body));
    report!("refused: {}", String::from_utf8_lossy(&reply.body));
    assert_eq!(reply.json()["type"], "urn:ed-fi:api:identity-conflict", "{}", reply.json());
    let after = tables::fingerprints_without_locks(&test.running).await;
    let touched: Vec<_> = before.iter().filter(|(name, was)| after.get(*name) != Some(was)).collect();
    assert!(touched.is_empty(), "a refused rename wrote to {touched:?}");
    test.before.assert_same(&Snapshot::take(&api, test.running.mapping()).await, "before and after a refused rename");
    api.stop().await;
}

async fn refuse_renames(name: &'static str, world: &'static World, school: &str) {
    let _exclusive = exclusive().await;
    let (database, _) = loaded::copy(name, world).await;
    let mut test = RenameTest::new(world, database.database().clone()).await;
    test.running.unfollow().await;
    let (session, offerings) = Oracle::of(&test.before, &test.shapes).hubs("sessions")[0];
    assert!(offerings > 3, "the largest session has {offerings} referrers");

    // Course offerings name the school both directly and through the session, so the session cannot move to another.
    let body = without_server_members(&test.before.get(session).json());
    let mut moved = body.clone();
    let members = moved.as_object_mut().expect("an object");
    members.shift_remove("gradingPeriods");
    members.shift_remove("academicWeeks");
    let here = body["schoolReference"][school].clone();
    let other = test.before.documents().filter(|(_, seen)| seen.endpoint.1 == "schools");
    let mut other = other.map(|(_, seen)| seen.json()[school].clone()).filter(|there| *there != here);
    moved["schoolReference"][school] = other.next().expect("another school");
    expect_refusal(&test, WriterOptions::default(), session, moved).await;

    let mut renamed = body.clone();
    renamed["sessionName"] = json!("Too many");
    let options = WriterOptions { closure_max: 3, ..WriterOptions::default() };
    expect_refusal(&test, options, session, renamed.clone()).await;
    let options = WriterOptions { closure_depth_max: 1, ..WriterOptions::default() };
    expect_refusal(&test, options, session, renamed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn renames_that_break_dependents_or_bounds_change_nothing_in_the_fixtures() {
    refuse_renames("fixtures-loaded", World::fixtures(), "schoolId").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn renames_that_break_dependents_or_bounds_change_nothing_in_the_corpus() {
    let Some(world) = World::corpus_or_skip() else { return };
    refuse_renames("corpus-loaded", world, "schoolId").await;
}
