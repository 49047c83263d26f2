//! The queue on local disk: conformance suites, models, crashes, and the checks of its directory.

mod cases;
mod conformance;
mod directory;
mod kill;
mod lanes_crash;
mod lanes_model;
mod model;
mod victim;
