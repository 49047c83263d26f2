//! What the schedules share: a schema for them, a stage with gates, actors, and an observer.

mod actor;
mod bed;
mod observer;
mod play;
mod scene;
mod stage;

pub(crate) use actor::Actor;
pub(crate) use bed::{Bed, PATIENCE, meadow, wheel};
pub(crate) use observer::{Observer, compose, store};
pub(crate) use play::{Play, holder_of_row, refused, written};
pub(crate) use scene::{Act, Doc, References, Scene};
pub(crate) use stage::{RENAME_LOCK, Situation, Stage, TURNSTILE_LOCK};
