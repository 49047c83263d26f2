//! Configuration: flags over environment over file over defaults, resolved once into one typed value.
//!
//! [`key::KEYS`] is the table of all keys. [`Settings`] has the text in force for each key and its origin; [`Config`] is
//! the same, parsed and checked. Commands receive a [`Config`] and never read the environment themselves.

mod check;
mod error;
mod file;
pub mod key;
mod kind;
mod resolve;
mod secret;
mod setting;
mod settings;
mod show;
mod source;
mod values;

pub use error::ConfigErrors;
pub use secret::Secret;
pub use setting::{DEFAULT_FILE, Environment, FILE_VARIABLE, Flags, Origin, Setting};
pub use settings::Settings;
pub use show::{reference, show};
pub use values::{
    Api, Config, Database, Embedded, Kafka, Log, OpenSearch, Projector, QueueSettings, Renames, SinkSettings, Source,
    SourceKind, Telemetry, Topic,
};
