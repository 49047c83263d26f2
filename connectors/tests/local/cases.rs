//! Runs of random steps, as many as fit into a time limit.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use std::ops::Range;
use std::time::{Duration, Instant};

/// Time during which new cases start.
const TIME: Duration = Duration::from_secs(15);

/// Runs at least `cases_min` cases of random length. Fails with the smallest failing case.
pub(crate) fn run<S: std::fmt::Debug + Clone>(
    config: Config,
    cases_min: u32,
    step: impl Strategy<Value = S>,
    steps: Range<usize>,
    case: impl AsyncFn(Vec<S>),
) {
    let deadline = Instant::now() + TIME;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let done = std::cell::Cell::new(0);
    let outcome = TestRunner::new(config).run(&prop::collection::vec(step, steps), |steps| {
        if Instant::now() <= deadline {
            runtime.block_on(case(steps));
            done.set(done.get() + 1);
        }
        Ok(())
    });
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
    assert!(done.get() >= cases_min, "only {} of at least {cases_min} cases fit into the time", done.get());
}
