//! The suite that every [`SearchEngine`](crate::SearchEngine) passes. A test calls [`run`] with a [`Fixture`] of its
//! implementation.
//!
//! The suite uses the small schema of this repository ([`model`]): fixed queries with given results (`cases`), paging
//! while documents change (`paging`), and random queries over random documents, compared with [`MemoryEngine`]
//! (`random`). Every failure names the query; random ones print their seed.

mod bench;
mod cases;
mod documents;
mod memory;
mod paging;
mod random;

use self::bench::Bench;
pub use self::bench::{Fixture, mapping, model};
pub use self::documents::Document;
pub use self::memory::MemoryEngine;

/// Runs the whole suite.
///
/// # Panics
/// When the engine breaks a promise; the message says which.
pub async fn run(fixture: &mut dyn Fixture) {
    let model = model();
    cases::run(&mut Bench::open(fixture, &model).await).await;
    paging::run(&mut Bench::open(fixture, &model).await).await;
    for seed in random::SEEDS {
        random::run(&mut Bench::open(fixture, &model).await, seed).await;
    }
}
