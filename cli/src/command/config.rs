//! `millstream config`: the values in force, and the reference of all keys.

use crate::{
    args::ConfigAction,
    config::{Settings, reference, show},
    exit::Exit,
    failure::{Failure, Outcome},
};
use std::io::Write;

/// Prints the values in force or the reference.
pub fn run(action: &ConfigAction, settings: &Settings, out: &mut dyn Write) -> Outcome {
    let text = match action {
        ConfigAction::Show => show(settings),
        ConfigAction::Reference => reference(),
    };
    out.write_all(text.as_bytes()).map_err(Failure::failed)?;
    Ok(Exit::Done)
}
