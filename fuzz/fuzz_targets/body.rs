//! Fuzzes the flattening of bodies: any bytes, as the body of any resource of the small schema, are refused or
//! flattened without a panic.
//!
//! The first byte chooses the resource. Run with `make fuzz` (cargo-fuzz on a nightly toolchain).
#![no_main]

use libfuzzer_sys::fuzz_target;
use millstream_schema::plan::Mapping;
use millstream_schema::{apischema, model, plan};
use millstream_writer::{Validators, body};
use std::path::Path;
use std::sync::LazyLock;

static WORLD: LazyLock<(Mapping, Validators)> = LazyLock::new(|| {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../schema/fixtures");
    let schema = apischema::load(&[fixtures]).unwrap_or_else(|errors| panic!("{errors}"));
    let model = model::derive(&schema).unwrap_or_else(|errors| panic!("{errors}"));
    let mapping = plan::compile(&schema, &model);
    let validators = Validators::compile(&mapping).unwrap_or_else(|error| panic!("{error}"));
    (mapping, validators)
});

fuzz_target!(|bytes: &[u8]| {
    let (mapping, validators) = &*WORLD;
    if let Some((first, body)) = bytes.split_first() {
        let resource = &mapping.resources[usize::from(*first) % mapping.resources.len()];
        if let Ok(planned) = body::plan(resource, validators, body) {
            assert_eq!(body::plan(resource, validators, body).ok(), Some(planned));
        }
    }
});
