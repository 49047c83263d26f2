//! A model test: the cache queue and two lanes on disk behave as those in memory under random steps, restarts included,
//! and no pending work is lost between them.

use std::collections::BTreeMap;
use std::sync::Arc;

use millstream_connectors::queue::local::{LocalQueue, LocalQueueOptions};
use millstream_pipeline::ChangeKind;
use millstream_pipeline::clock::{Clock, ManualClock};
use millstream_pipeline::queue::conformance::{ATTEMPTS_MAX, work};
use millstream_pipeline::queue::{Lanes, MemoryQueue, QueueStats, Settled, Taken, Ticket, WorkQueue};
use proptest::prelude::*;
use proptest::test_runner::Config;

/// Index 0 is the cache queue, the others are lanes.
const NAMES: [&str; 3] = ["", "kafka", "search"];

#[derive(Debug, Clone)]
enum Step {
    /// Changes of few documents, so that they meet: (kind, document). Each has the next version. Lanes get upserts.
    Put(usize, Vec<(ChangeKind, i64)>),
    Take(usize, usize),
    /// The nth entry in flight.
    Settle(usize, usize, Outcome),
    Release(usize, i64),
    Discard(usize, i64),
    Pause(usize, bool),
    Note(usize, Option<u8>),
    /// Removes a lane and adds another one under its name.
    Renew(usize),
    Wait(u64),
    Restart,
}

#[derive(Debug, Clone)]
enum Outcome {
    Deliver,
    Settled(Settled),
}

fn outcome() -> impl Strategy<Value = Outcome> {
    let not_before = prop_oneof![Just(0), 1_000_000_u64..1_000_400];
    let settled = prop_oneof![
        2 => Just(Settled::Done),
        2 => not_before.clone().prop_map(|not_before_ms| Settled::RetryAt { not_before_ms }),
        2 => not_before.prop_map(|not_before_ms| Settled::Failed { not_before_ms, reason: "failed".to_owned() }),
        1 => Just(Settled::Quarantine { reason: "poison".to_owned() }),
    ];
    prop_oneof![3 => Just(Outcome::Deliver), 2 => settled.prop_map(Outcome::Settled)]
}

fn step() -> impl Strategy<Value = Step> {
    let kind = prop::sample::select(ChangeKind::ALL.as_slice());
    let changes = prop::collection::vec((kind, -3_i64..9), 0..6);
    let (place, lane, document) = (0_usize..3, 1_usize..3, -3_i64..9);
    // Mostly the cache queue: the lanes get most of their work from it.
    let putting = prop_oneof![5 => Just(0_usize), 1 => lane.clone()];
    prop_oneof![
        8 => (putting, changes).prop_map(|(place, changes)| Step::Put(place, changes)),
        8 => (place.clone(), 0_usize..7).prop_map(|(place, max)| Step::Take(place, max)),
        12 => (place.clone(), 0_usize..12, outcome()).prop_map(|(place, nth, how)| Step::Settle(place, nth, how)),
        1 => (place.clone(), document.clone()).prop_map(|(place, id)| Step::Release(place, id)),
        1 => (place, document).prop_map(|(place, id)| Step::Discard(place, id)),
        1 => (lane.clone(), any::<bool>()).prop_map(|(lane, paused)| Step::Pause(lane, paused)),
        1 => (lane.clone(), prop::option::of(any::<u8>())).prop_map(|(lane, note)| Step::Note(lane, note)),
        1 => lane.prop_map(Step::Renew),
        2 => (1_u64..120).prop_map(Step::Wait),
        2 => Just(Step::Restart),
    ]
}

type DynQueue = Arc<dyn WorkQueue>;

/// Both queues with their lanes, and the tickets of the entries in flight in both.
struct Pair {
    clock: ManualClock,
    folder: tempfile::TempDir,
    memory: Arc<MemoryQueue>,
    local: Option<Arc<LocalQueue>>,
    places: Vec<(DynQueue, DynQueue)>,
    in_flight: [Vec<(Taken, Ticket)>; 3],
    version: i64,
    /// Of the cache queue and of each lane, the versions that were put and not done since.
    pending: [BTreeMap<i64, i64>; 3],
}

impl Pair {
    async fn new() -> Self {
        let clock = ManualClock::at(1_000_000);
        let memory = Arc::new(MemoryQueue::new(Arc::new(clock.clone()), ATTEMPTS_MAX));
        let folder = tempfile::tempdir().expect("a folder");
        let (in_flight, pending) = Default::default();
        let mut pair = Self { clock, folder, memory, local: None, places: Vec::new(), in_flight, version: 0, pending };
        pair.restart().await;
        pair
    }

    fn local(&self) -> &LocalQueue {
        self.local.as_ref().expect("the queue is open")
    }

    async fn restart(&mut self) {
        self.places.clear();
        self.local = None;
        let clock = Arc::new(self.clock.clone());
        let options = LocalQueueOptions { attempts_max: ATTEMPTS_MAX, clock, ..LocalQueueOptions::default() };
        let local = Arc::new(LocalQueue::open(self.folder.path(), options).await.expect("the queue opens again"));
        self.memory.crash();
        self.in_flight.iter_mut().for_each(Vec::clear);
        self.places.push((Arc::<LocalQueue>::clone(&local), Arc::<MemoryQueue>::clone(&self.memory)));
        for name in &NAMES[1..] {
            let both = (local.add_lane(name).await.expect("a lane"), self.memory.add_lane(name).await.expect("a lane"));
            self.places.push(both);
        }
        self.local = Some(local);
    }

    async fn apply(&mut self, step: Step) {
        match step {
            Step::Put(place, changes) => self.put(place, changes).await,
            Step::Take(place, max) => self.take(place, max).await,
            Step::Settle(place, nth, outcome) => self.settle(place, nth, outcome).await,
            Step::Release(place, id) => {
                let (local, memory) = &self.places[place];
                let released = local.release(vec![id]).await.expect("release");
                assert_eq!(released, memory.release(vec![id]).await.expect("release"));
            }
            Step::Discard(place, id) => {
                let (local, memory) = &self.places[place];
                let discarded = local.discard(vec![id]).await.expect("discard");
                assert_eq!(discarded, memory.discard(vec![id]).await.expect("discard"));
                if discarded > 0 {
                    self.pending[place].remove(&id);
                }
            }
            Step::Pause(lane, paused) => {
                self.local().set_paused(NAMES[lane], paused).await.expect("paused");
                self.memory.set_paused(NAMES[lane], paused).await.expect("paused");
            }
            Step::Note(lane, note) => {
                let note = note.map(|byte| vec![byte]);
                self.local().set_note(NAMES[lane], "key", note.clone()).await.expect("note");
                self.memory.set_note(NAMES[lane], "key", note).await.expect("note");
            }
            Step::Renew(lane) => self.renew(lane).await,
            Step::Wait(ms) => self.clock.advance(ms),
            Step::Restart => self.restart().await,
        }
        self.compare().await;
    }

    async fn put(&mut self, place: usize, changes: Vec<(ChangeKind, i64)>) {
        let now_ms = self.clock.now_ms();
        let mut batch = Vec::new();
        for (kind, document_id) in changes {
            self.version += 1;
            let kind = if place == 0 { kind } else { ChangeKind::Upsert };
            batch.push(work(kind, document_id, self.version, now_ms));
            self.pending[place].insert(document_id, self.version);
        }
        let (local, memory) = &self.places[place];
        local.put(batch.clone(), None).await.expect("put");
        memory.put(batch, None).await.expect("put");
    }

    async fn take(&mut self, place: usize, max: usize) {
        let (local, memory) = &self.places[place];
        let (local, memory) = (local.take(max).await.expect("take"), memory.take(max).await.expect("take"));
        let works = |taken: &[Taken]| taken.iter().map(|taken| taken.work.clone()).collect::<Vec<_>>();
        assert_eq!(works(&local), works(&memory), "taken from {place}");
        self.in_flight[place].extend(local.into_iter().zip(memory).map(|(local, memory)| (local, memory.ticket)));
    }

    async fn settle(&mut self, place: usize, nth: usize, outcome: Outcome) {
        let in_flight = &mut self.in_flight[place];
        if in_flight.is_empty() {
            return;
        }
        let (taken, ticket) = in_flight.swap_remove(nth % in_flight.len());
        let (document_id, version) = (taken.work.document_id, taken.work.version);
        let settled = match outcome {
            Outcome::Settled(settled) => settled,
            Outcome::Deliver => Settled::Deliver { version, deleted: taken.work.deleted, repair: false },
        };
        let done = matches!(settled, Settled::Done | Settled::Deliver { .. });
        if place == 0 && matches!(settled, Settled::Deliver { .. }) {
            for lane in &mut self.pending[1..] {
                let pending = lane.entry(document_id).or_default();
                *pending = version.max(*pending);
            }
        }
        if done && self.pending[place].get(&document_id).is_some_and(|pending| *pending <= version) {
            self.pending[place].remove(&document_id);
        }
        let (local, memory) = &self.places[place];
        let report = local.settle(vec![(taken.ticket, settled.clone())]).await.expect("settle");
        assert_eq!(report, memory.settle(vec![(ticket, settled)]).await.expect("settle"));
        assert_eq!(report.unknown, 0);
    }

    async fn renew(&mut self, lane: usize) {
        assert!(self.local().remove_lane(NAMES[lane]).await.expect("removed"));
        assert!(self.memory.remove_lane(NAMES[lane]).await.expect("removed"));
        let local = self.local().add_lane(NAMES[lane]).await.expect("a lane");
        let memory = self.memory.add_lane(NAMES[lane]).await.expect("a lane");
        self.places[lane] = (local, memory);
        self.in_flight[lane].clear();
        self.pending[lane].clear();
    }

    async fn compare(&self) {
        for (name, (local, memory)) in NAMES.iter().zip(&self.places) {
            let stats = QueueStats { disk_bytes: 0, ..local.stats().await.expect("stats") };
            assert_eq!(stats, memory.stats().await.expect("stats"), "{name}");
            let listed = local.quarantined(None, 100).await.expect("list");
            assert_eq!(listed, memory.quarantined(None, 100).await.expect("list"), "{name}");
            if !name.is_empty() {
                let note = self.local().note(name, "key").await.expect("note");
                assert_eq!(note, self.memory.note(name, "key").await.expect("note"), "{name}");
            }
        }
        let paused = |lanes: Vec<millstream_pipeline::queue::LaneInfo>| {
            lanes.into_iter().map(|lane| (lane.name, lane.paused)).collect::<Vec<_>>()
        };
        let local = paused(self.local().lanes().await.expect("lanes"));
        assert_eq!(local, paused(self.memory.lanes().await.expect("lanes")));
    }

    /// Checks that every entry can be taken, and that all pending work is there, in at least its version.
    async fn drain(&mut self) {
        self.restart().await;
        self.clock.advance(1_000);
        for lane in 1..3 {
            self.apply(Step::Pause(lane, false)).await;
        }
        for place in 0..3 {
            let quarantined = self.places[place].0.quarantined(None, 100).await.expect("list");
            let ids = quarantined.iter().map(|entry| entry.work.document_id).collect::<Vec<_>>();
            for id in ids {
                self.apply(Step::Release(place, id)).await;
            }
            self.take(place, 1_000).await;
            let found = self.in_flight[place].iter().map(|(taken, _)| (taken.work.document_id, taken.work.version));
            let found: BTreeMap<_, _> = found.collect();
            assert_eq!(found.len() as u64, self.places[place].0.stats().await.expect("stats").depth);
            for (document_id, pending) in &self.pending[place] {
                assert!(
                    found.get(document_id) >= Some(pending),
                    "{document_id} of {place} in {pending}: found {found:?}"
                );
            }
        }
    }
}

#[test]
fn the_lanes_on_disk_do_what_those_in_memory_do() {
    crate::cases::run(
        Config { cases: 40, source_file: Some(file!()), ..Config::default() },
        8,
        step(),
        20..120,
        async |steps| {
            let mut pair = Pair::new().await;
            for step in steps {
                pair.apply(step).await;
            }
            pair.drain().await;
        },
    );
}
