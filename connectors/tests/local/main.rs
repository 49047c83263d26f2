//! The queue on local disk: the suites of queues and lanes, models, crashes, and what it does with its folder.

mod cases;
mod conformance;
mod directory;
mod kill;
mod lanes_crash;
mod lanes_model;
mod model;
mod victim;
