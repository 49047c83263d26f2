//! Real transactions driven through their lock points, one interleaving after another.
//!
//! `rows` has a test for each counterexample behind the lock rules: with the rule in place, the schedule is correct.
//! `explored` runs the scenarios of the model through many orders of starting and committing. `races`, `renames` and
//! `locks` provoke the races that a writer must resolve, and `stress` runs all operations at random. An observer reads
//! every document after every step of a schedule: no version decreases (MONOTONIC), no label (id and version) has two
//! bodies, and no read is older than an answered write (FRESH). Afterwards the outbox names exactly the committed changes
//! (ATOMIC) and `verify` finds no difference (IDENTITY, EDGES).
#![allow(clippy::print_stdout, reason = "tests report progress on stdout")]

mod batches;
mod explored;
mod locks;
mod races;
mod renames;
mod rows;
mod stress;
mod support;
