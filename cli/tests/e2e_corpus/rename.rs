//! Renames, held against an oracle that knows nothing but JSON.
//!
//! From the first read after the answer on, every document that embeds the new identity, at any distance, shows it under
//! another etag, and everything else is what it was to the byte; working off what a rename has opened changes nothing
//! that anybody can see.

use crate::alone;
use crate::support::http::Http;
use crate::support::oracle::Oracle;
use crate::support::posted::without_server_members;
use crate::support::running::Running;
use crate::support::shapes::Shapes;
use crate::support::snapshot::Snapshot;
use crate::support::{loaded, say, tables};
use futures::stream::{self, StreamExt};
use millstream_testkit::World;
use millstream_writer::WriterOptions;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Instant;
use uuid::Uuid;

/// Requests in flight.
const SIDE_BY_SIDE: usize = 8;
/// Unchanged documents of which a conditional request is made.
const UNCHANGED_ASKED: usize = 50;

/// What is renamed: the endpoint, and the member of the identity that gets another value.
const FIXTURE_HUBS: [(&str, &str); 2] = [("sessions", "sessionName"), ("classPeriods", "classPeriodName")];
const CORPUS_HUBS: [(&str, &str); 4] = [
    ("sessions", "sessionName"),
    ("classPeriods", "classPeriodName"),
    ("locations", "classroomIdentificationCode"),
    ("sections", "sectionIdentifier"),
];

/// A loaded database that documents are renamed in.
struct Stage {
    running: Running,
    shapes: Shapes,
    /// How everything is served while nothing happens.
    rest: Snapshot,
}

impl Stage {
    async fn set(world: &'static World, database: millstream_store::connect::Database) -> Self {
        let mut running = Running::on(world, database);
        running.follow().await;
        running.settle().await;
        let door = running.door(WriterOptions::default()).await;
        let rest = Snapshot::take(&door, running.mapping()).await;
        door.close().await;
        Self { running, shapes: Shapes::read(&world.corpus.schema_paths()), rest }
    }

    /// Renames the hub of this type that comes at `rank` by the number of its referrers.
    ///
    /// Answers how many cascades that opened.
    async fn rename(&mut self, (endpoint, member): (&str, &str), strict_max: usize, rank: usize) -> i64 {
        let mut oracle = Oracle::of(&self.rest, &self.shapes);
        let hubs = oracle.hubs(endpoint);
        let (uuid, _) = hubs[rank.min(hubs.len() - 1)];
        let mut body = without_server_members(&self.rest.get(uuid).json());
        let (old, new) = (body[member].clone(), format!("Renamed-{strict_max}-{rank}"));
        body[member] = json!(new);
        let changed = oracle.replace(uuid, body.clone());
        assert!(changed.len() > 1, "nothing depends on {endpoint} {uuid}");

        // Nobody works off a cascade while it is looked at.
        self.running.unfollow().await;
        let door = self.running.door(WriterOptions { strict_max, ..WriterOptions::default() }).await;
        body["id"] = json!(uuid);
        let started = Instant::now();
        let reply = door.put(&self.rest.get(uuid).path(uuid), body.to_string()).await;
        assert_eq!(reply.status, 204, "{reply:?}");
        let took = started.elapsed();

        let case = Case { before: &self.rest, oracle: &oracle, changed: &changed };
        case.check_first_reads(&door).await;
        let open: i64 = self.running.value(r#"SELECT count(*) FROM "dms"."Cascade""#).await;
        let after = Snapshot::take(&door, self.running.mapping()).await;
        case.check_everything(&after, reply.etag.expect("an etag"), uuid);
        let stored = tables::referential_ids(&self.running).await;
        assert!(stored == oracle.referential_ids(), "a ReferentialId is not the one of the document's JSON");
        case.check_conditional_requests(&door).await;
        for value in [new.as_str(), old.as_str().expect("a text")] {
            case.check_queries(&door, member, value).await;
        }

        self.running.follow().await;
        let settled = self.running.settle().await;
        after.assert_same(
            &Snapshot::take(&door, self.running.mapping()).await,
            "before and after the cascades were worked off",
        );
        self.running.verify().await;
        say!(
            "{endpoint} renamed with strict_max {strict_max}: {} documents changed, answered in {took:.1?}, {open} \
             cascades open, worked off in {settled:.1?}",
            changed.len()
        );
        door.close().await;
        self.rest = after;
        if strict_max > changed.len() {
            assert_eq!(open, 0, "the renaming transaction stamps so few by itself");
        }
        open
    }
}

/// One rename and what it must do.
struct Case<'a> {
    before: &'a Snapshot,
    oracle: &'a Oracle<'a>,
    changed: &'a BTreeSet<Uuid>,
}

impl Case<'_> {
    /// The first read of every document that changed.
    async fn check_first_reads(&self, http: &Http) {
        let reads = stream::iter(self.changed).map(|uuid| async move {
            let seen = self.before.get(*uuid);
            let reply = http.get_if_none_match(&seen.path(*uuid), seen.etag).await;
            assert_eq!(
                reply.status, 200,
                "{} {uuid}: the old etag must not match any more: {reply:?}",
                seen.endpoint.1
            );
            let etag = reply.etag.expect("an etag");
            assert!(etag > seen.etag, "{} {uuid}: {etag} after {}", seen.endpoint.1, seen.etag);
            let read = reply.json();
            assert_eq!(without_server_members(&read), *self.oracle.body(*uuid), "{} {uuid}", seen.endpoint.1);
            assert!(read["_lastModifiedDate"].as_str() >= seen.json()["_lastModifiedDate"].as_str());
            let again = http.get_if_none_match(&seen.path(*uuid), etag).await;
            assert_eq!((again.status, again.etag), (304, Some(etag)));
        });
        reads.buffer_unordered(SIDE_BY_SIDE).collect::<Vec<()>>().await;
    }

    /// All documents of all collections.
    fn check_everything(&self, after: &Snapshot, answered: i64, renamed: Uuid) {
        assert_eq!(after.get(renamed).etag, answered, "the answer's etag is the document's");
        assert_eq!(after.len(), self.before.len());
        for (uuid, was) in self.before.documents() {
            let is = after.get(uuid);
            if !self.changed.contains(&uuid) {
                assert_eq!(is, was, "{} {uuid} has nothing to do with the rename", was.endpoint.1);
                continue;
            }
            assert!(is.etag > was.etag, "{} {uuid}", was.endpoint.1);
            assert_eq!(without_server_members(&is.json()), *self.oracle.body(uuid), "{} {uuid}", was.endpoint.1);
        }
    }

    /// Queries find documents by what they show now.
    async fn check_queries(&self, http: &Http, field: &str, value: &str) {
        let encoded = value.replace('%', "%25").replace(' ', "%20").replace('#', "%23").replace('&', "%26");
        let expected = self.oracle.matches(field, value);
        assert!(!expected.is_empty(), "nothing can be asked for {field}");
        for ((project, endpoint), count) in expected {
            let path = format!("{project}/{endpoint}?{field}={encoded}&totalCount=true&limit=1");
            let reply = http.get(&path).await;
            assert_eq!((reply.status, reply.total), (200, Some(count)), "{path}: {reply:?}");
        }
    }

    async fn check_conditional_requests(&self, http: &Http) {
        let unchanged = self.before.documents().filter(|(uuid, _)| !self.changed.contains(uuid));
        let step = (self.before.len() / UNCHANGED_ASKED).max(1);
        for (uuid, seen) in unchanged.step_by(step) {
            let reply = http.get_if_none_match(&seen.path(uuid), seen.etag).await;
            assert_eq!(reply.status, 304, "{} {uuid} did not change: {reply:?}", seen.endpoint.1);
        }
    }
}

async fn rename_hubs(name: &'static str, world: &'static World, hubs: &[(&str, &str)]) {
    let _alone = alone().await;
    let (database, _) = loaded::copy(name, world).await;
    let mut stage = Stage::set(world, database.database().clone()).await;
    let strict_max = WriterOptions::default().strict_max;
    for hub in hubs {
        stage.rename(*hub, strict_max, 0).await;
        stage.rename(*hub, 0, 1).await;
    }
    stage.rename(hubs[0], 1, 0).await;
    stage.running.unfollow().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fixture_hubs_are_renamed_with_all_that_depends_on_them() {
    rename_hubs("fixtures-loaded", World::fixtures(), &FIXTURE_HUBS).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn corpus_hubs_are_renamed_with_all_that_depends_on_them() {
    let Some(world) = World::corpus() else { return };
    rename_hubs("corpus-loaded", world, &CORPUS_HUBS).await;
}

/// A class period that is the homeroom of this many students: more than the renaming transaction stamps by itself, and
/// more than one page of a cascade.
const HOMEROOM: usize = 1_200;

/// Posts the students and their enrolments.
async fn fill_homeroom(http: &Http) {
    let school = json!({"schoolId": 710_001});
    let period = json!({"classPeriodName": "Homeroom", "schoolReference": school});
    assert_eq!(http.post("meadow/classPeriods", period.to_string()).await.status, 201);
    let posts = stream::iter(0..HOMEROOM).map(|number| {
        let school = school.clone();
        async move {
            let id = format!("HOME-{number}");
            let student = json!({"studentUniqueId": id, "firstName": "Ada", "lastSurname": "Abara",
                                 "birthData": {"birthDate": "2014-01-01"}});
            let reply = http.post("meadow/students", student.to_string()).await;
            assert_eq!(reply.status, 201, "{reply:?}");
            let enrolment = json!({
                "entryDate": "2030-08-19", "schoolReference": school, "studentReference": {"studentUniqueId": id},
                "entryGradeLevelDescriptor": "uri://meadow.example/GradeLevelDescriptor#First grade",
                "homeroomClassPeriodReference": {"classPeriodName": "Homeroom", "schoolId": 710_001},
            });
            let reply = http.post("meadow/studentSchoolAssociations", enrolment.to_string()).await;
            assert_eq!(reply.status, 201, "{reply:?}");
        }
    });
    posts.buffer_unordered(SIDE_BY_SIDE).collect::<Vec<()>>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_with_more_referrers_than_one_transaction_stamps_is_renamed_at_once_for_every_reader() {
    let _alone = alone().await;
    let world = World::fixtures();
    let (database, _) = loaded::copy("fixtures-loaded", world).await;
    let running = Running::on(world, database.database().clone());
    let door = running.door(WriterOptions::default()).await;
    fill_homeroom(&door).await;
    door.close().await;
    let mut stage = Stage::set(world, database.database().clone()).await;
    let open = stage.rename(("classPeriods", "classPeriodName"), WriterOptions::default().strict_max, 0).await;
    assert_eq!(open, 1, "so many referrers are left to a cascade");
    stage.running.unfollow().await;
}

/// Asks for a change that must be refused, and looks whether it left anything behind.
async fn refused(stage: &Stage, options: WriterOptions, uuid: Uuid, mut body: Value) {
    let door = stage.running.door(options).await;
    let before = tables::fingerprints_without_locks(&stage.running).await;
    body["id"] = json!(uuid);
    let reply = door.put(&stage.rest.get(uuid).path(uuid), body.to_string()).await;
    assert_eq!(reply.status, 409, "{reply:?} {}", String::from_utf8_lossy(&reply.body));
    say!("refused: {}", String::from_utf8_lossy(&reply.body));
    assert_eq!(reply.json()["type"], "urn:ed-fi:api:identity-conflict", "{}", reply.json());
    let after = tables::fingerprints_without_locks(&stage.running).await;
    let touched: Vec<_> = before.iter().filter(|(name, was)| after.get(*name) != Some(was)).collect();
    assert!(touched.is_empty(), "a refused rename wrote to {touched:?}");
    stage.rest.assert_same(&Snapshot::take(&door, stage.running.mapping()).await, "before and after a refused rename");
    door.close().await;
}

async fn refuse_renames(name: &'static str, world: &'static World, school: &str) {
    let _alone = alone().await;
    let (database, _) = loaded::copy(name, world).await;
    let mut stage = Stage::set(world, database.database().clone()).await;
    stage.running.unfollow().await;
    let (session, offerings) = Oracle::of(&stage.rest, &stage.shapes).hubs("sessions")[0];
    assert!(offerings > 3, "the largest session has {offerings} referrers");

    // Course offerings of a session name its school twice: the session cannot move to another one without them.
    let body = without_server_members(&stage.rest.get(session).json());
    let mut moved = body.clone();
    let members = moved.as_object_mut().expect("an object");
    members.shift_remove("gradingPeriods");
    members.shift_remove("academicWeeks");
    let here = body["schoolReference"][school].clone();
    let other = stage.rest.documents().filter(|(_, seen)| seen.endpoint.1 == "schools");
    let mut other = other.map(|(_, seen)| seen.json()[school].clone()).filter(|there| *there != here);
    moved["schoolReference"][school] = other.next().expect("another school");
    refused(&stage, WriterOptions::default(), session, moved).await;

    let mut renamed = body.clone();
    renamed["sessionName"] = json!("Too many");
    let options = WriterOptions { closure_max: 3, ..WriterOptions::default() };
    refused(&stage, options, session, renamed.clone()).await;
    let options = WriterOptions { closure_depth_max: 1, ..WriterOptions::default() };
    refused(&stage, options, session, renamed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn renames_that_break_dependents_or_bounds_change_nothing_in_the_fixtures() {
    refuse_renames("fixtures-loaded", World::fixtures(), "schoolId").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn renames_that_break_dependents_or_bounds_change_nothing_in_the_corpus() {
    let Some(world) = World::corpus() else { return };
    refuse_renames("corpus-loaded", world, "schoolId").await;
}
