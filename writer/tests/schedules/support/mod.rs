//! Shared parts of the schedules: a schema, a scheduler with gates, actors, and an observer.

mod actor;
mod documents;
mod fixture;
mod observer;
mod schedule;
mod scheduler;

pub(crate) use actor::Actor;
pub(crate) use documents::{Act, Doc, Documents, References};
pub(crate) use fixture::{Fixture, TIMEOUT, meadow, wheel};
pub(crate) use observer::{Observer, compose, store};
pub(crate) use schedule::{Schedule, holder_of_row, refused, written};
pub(crate) use scheduler::{RENAME_LOCK, Scheduler, Situation, TURNSTILE_LOCK};
