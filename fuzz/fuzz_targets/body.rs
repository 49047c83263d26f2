//! Fuzzes the flattening of bodies: any bytes, as the body of any resource of the fixture schema, are refused or
//! flattened without a panic, with the same result each time.
//!
//! The first byte selects the resource. Run with `make fuzz`. The fixture documents are the seeds: the program first
//! writes them to the folder `MILLSTREAM_FUZZ_SEEDS`, if it is set.
#![no_main]

use libfuzzer_sys::fuzz_target;
use millstream_schema::plan::Mapping;
use millstream_schema::{apischema, model, plan};
use millstream_writer::{Validators, body};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

static WORLD: LazyLock<(Mapping, Validators)> = LazyLock::new(|| {
    let schema = apischema::load(&[fixtures()]).unwrap_or_else(|errors| panic!("{errors}"));
    let model = model::derive(&schema).unwrap_or_else(|errors| panic!("{errors}"));
    let mapping = plan::compile(&schema, &model);
    let validators = Validators::compile(&mapping).unwrap_or_else(|error| panic!("{error}"));
    (mapping, validators)
});

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../schema/fixtures")
}

fn write_seeds() {
    let Some(folder) = std::env::var_os("MILLSTREAM_FUZZ_SEEDS") else { return };
    let documents = fs::read_to_string(fixtures().join("documents.jsonl")).expect("the fixtures are readable");
    for (number, line) in documents.lines().enumerate() {
        let document: Value = serde_json::from_str(line).expect("each line is a document");
        let name = |member: &str| document[member].as_str().expect("a name").to_owned();
        let resource = WORLD.0.route(&name("project"), &name("resource")).expect("the schema has the resource");
        let mut seed = vec![u8::try_from(resource.0).expect("a small schema")];
        seed.extend(document["body"].to_string().into_bytes());
        fs::write(Path::new(&folder).join(format!("seed-{number}")), seed).expect("a seed is written");
    }
}

fuzz_target!(init: write_seeds(), |bytes: &[u8]| {
    let (mapping, validators) = &*WORLD;
    if let Some((first, body)) = bytes.split_first() {
        let resource = &mapping.resources[usize::from(*first) % mapping.resources.len()];
        if let Ok(planned) = body::plan(resource, validators, body) {
            assert_eq!(body::plan(resource, validators, body).ok(), Some(planned));
        }
    }
});
