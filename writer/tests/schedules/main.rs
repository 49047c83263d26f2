//! Real transactions driven through their lock points, one interleaving after another.
//!
//! `rows` has a test for each counterexample from which the lock rules come: with the rule in place, the same schedule
//! ends well. `explored` drives the scenarios that were explored in a model through many orders of starting and
//! committing. `races`, `renames` and `locks` are the races that a writer has to decide, each on purpose, and `stress`
//! is everything at once, at random. While a schedule runs, an observer reads every document of it after every step: no
//! version goes back (MONOTONIC), no label (id and version) ever has two bodies, and nobody reads less than what was
//! answered before (FRESH). Afterwards the outbox names exactly what committed (ATOMIC) and the audit finds no
//! difference (IDENTITY, EDGES).
#![allow(clippy::print_stdout, reason = "tests say what they did")]

mod explored;
mod locks;
mod races;
mod renames;
mod rows;
mod stress;
mod support;
