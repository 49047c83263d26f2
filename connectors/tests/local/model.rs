//! Model test: under random steps, including restarts, the queue on disk behaves like the queue in memory.

use std::sync::Arc;

use millstream_connectors::queue::local::{LocalQueue, LocalQueueOptions};
use millstream_pipeline::clock::{Clock, ManualClock};
use millstream_pipeline::queue::conformance::{ATTEMPTS_MAX, work};
use millstream_pipeline::queue::{MemoryQueue, QueueStats, SettleReport, Settled, Ticket, WorkQueue};
use millstream_pipeline::{ChangeKind, Position};
use proptest::prelude::*;
use proptest::test_runner::Config;

#[derive(Debug, Clone)]
enum Step {
    /// Changes as (kind, document, version), with a position. The documents are few, so that their changes are merged.
    Put(Vec<(ChangeKind, i64, i64)>, Option<u64>),
    Take(usize),
    /// The number selects an entry in flight, modulo their count.
    Settle(usize, Settled),
    Release(i64),
    Discard(i64),
    Wait(u64),
    Restart,
}

fn settled() -> impl Strategy<Value = Settled> {
    let not_before = prop_oneof![Just(0), 1_000_000_u64..1_000_400];
    prop_oneof![
        4 => Just(Settled::Done),
        2 => not_before.clone().prop_map(|not_before_ms| Settled::RetryAt { not_before_ms }),
        2 => not_before.clone()
            .prop_map(|not_before_ms| Settled::Failed { not_before_ms, reason: "failed".to_owned() }),
        2 => (any::<bool>(), any::<bool>(), not_before)
            .prop_map(|(rebuild, cascade, not_before_ms)| Settled::Remaining { rebuild, cascade, not_before_ms }),
        1 => Just(Settled::Quarantine { reason: "poison".to_owned() }),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let kind = prop::sample::select(ChangeKind::ALL.as_slice());
    let changes = prop::collection::vec((kind, -3_i64..9, 1_i64..30), 0..6);
    prop_oneof![
        6 => (changes, prop::option::of(0_u64..50)).prop_map(|(changes, position)| Step::Put(changes, position)),
        4 => (0_usize..7).prop_map(Step::Take),
        6 => (0_usize..12, settled()).prop_map(|(which, settled)| Step::Settle(which, settled)),
        1 => (-3_i64..9).prop_map(Step::Release),
        1 => (-3_i64..9).prop_map(Step::Discard),
        2 => (1_u64..120).prop_map(Step::Wait),
        1 => Just(Step::Restart),
    ]
}

/// Both queues, and the tickets of the entries in flight in both.
struct Pair {
    clock: ManualClock,
    folder: tempfile::TempDir,
    local: Option<LocalQueue>,
    memory: MemoryQueue,
    in_flight: Vec<(Ticket, Ticket)>,
}

impl Pair {
    async fn new() -> Self {
        let clock = ManualClock::at(1_000_000);
        let memory = MemoryQueue::new(Arc::new(clock.clone()), ATTEMPTS_MAX);
        let folder = tempfile::tempdir().expect("a folder");
        let mut pair = Self { clock, folder, local: None, memory, in_flight: Vec::new() };
        pair.restart().await;
        pair
    }

    async fn restart(&mut self) {
        self.local = None;
        let clock = Arc::new(self.clock.clone());
        let options = LocalQueueOptions { attempts_max: ATTEMPTS_MAX, clock, ..LocalQueueOptions::default() };
        self.local = Some(LocalQueue::open(self.folder.path(), options).await.expect("the queue opens again"));
        self.memory.crash();
        self.in_flight.clear();
    }

    fn local(&self) -> &LocalQueue {
        self.local.as_ref().expect("the queue is open")
    }

    async fn apply(&mut self, step: Step) {
        match step {
            Step::Put(changes, position) => {
                let now_ms = self.clock.now_ms();
                let batch: Vec<_> =
                    changes.iter().map(|&(kind, id, version)| work(kind, id, version, now_ms)).collect();
                let position = position.map(Position::before);
                self.local().put(batch.clone(), position).await.expect("put");
                self.memory.put(batch, position).await.expect("put");
            }
            Step::Take(max) => self.take(max).await,
            Step::Settle(which, settled) => self.settle(which, settled).await,
            Step::Release(id) => assert_eq!(
                self.local().release(vec![id]).await.expect("release"),
                self.memory.release(vec![id]).await.expect("release")
            ),
            Step::Discard(id) => assert_eq!(
                self.local().discard(vec![id]).await.expect("discard"),
                self.memory.discard(vec![id]).await.expect("discard")
            ),
            Step::Wait(ms) => self.clock.advance(ms),
            Step::Restart => self.restart().await,
        }
        self.compare().await;
    }

    async fn take(&mut self, max: usize) {
        let local = self.local().take(max).await.expect("take");
        let memory = self.memory.take(max).await.expect("take");
        let works =
            |taken: &[millstream_pipeline::queue::Taken]| taken.iter().map(|t| t.work.clone()).collect::<Vec<_>>();
        assert_eq!(works(&local), works(&memory));
        self.in_flight.extend(local.iter().zip(&memory).map(|(local, memory)| (local.ticket, memory.ticket)));
    }

    async fn settle(&mut self, which: usize, settled: Settled) {
        if self.in_flight.is_empty() {
            return;
        }
        let (local, memory) = self.in_flight.swap_remove(which % self.in_flight.len());
        let report: SettleReport = self.local().settle(vec![(local, settled.clone())]).await.expect("settle");
        assert_eq!(report, self.memory.settle(vec![(memory, settled)]).await.expect("settle"));
        assert_eq!(report.unknown, 0);
    }

    async fn compare(&self) {
        let local = self.local().stats().await.expect("stats");
        assert_eq!(QueueStats { disk_bytes: 0, ..local }, self.memory.stats().await.expect("stats"));
        assert_eq!(self.local().position().await.expect("position"), self.memory.position().await.expect("position"));
        assert_eq!(
            self.local().quarantined(None, 100).await.expect("list"),
            self.memory.quarantined(None, 100).await.expect("list")
        );
    }

    /// Checks that the restarted queue hands out every remaining entry, and nothing else.
    async fn drain(&mut self) {
        self.restart().await;
        self.clock.advance(1_000);
        self.take(1_000).await;
        let depth = self.memory.stats().await.expect("stats").depth;
        assert_eq!(self.in_flight.len() as u64, depth, "some entries cannot be taken");
    }
}

#[test]
fn the_local_queue_behaves_like_the_memory_queue() {
    crate::cases::run(
        Config { cases: 60, source_file: Some(file!()), ..Config::default() },
        10,
        step(),
        1..80,
        async |steps| {
            let mut pair = Pair::new().await;
            for step in steps {
                pair.apply(step).await;
            }
            pair.drain().await;
        },
    );
}
