//! The schema and the documents of the fixtures.

use millstream_schema::plan::Mapping;
use millstream_schema::{apischema, model, plan};
use millstream_search::SearchModel;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

pub static MAPPING: LazyLock<Mapping> = LazyLock::new(|| {
    let schema = apischema::load(&[folder()]).unwrap_or_else(|errors| panic!("{errors}"));
    let model = model::derive(&schema).unwrap_or_else(|errors| panic!("{errors}"));
    plan::compile(&schema, &model)
});

pub static SEARCH: LazyLock<SearchModel> = LazyLock::new(|| SearchModel::of(&MAPPING));

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../schema/fixtures")
}

/// The documents, each with the index of its resource.
pub fn documents() -> Vec<(u8, String)> {
    let documents = fs::read_to_string(folder().join("documents.jsonl")).expect("the fixtures are readable");
    let document = |line: &str| {
        let document: Value = serde_json::from_str(line).expect("each line is a document");
        let name = |member: &str| document[member].as_str().expect("a name").to_owned();
        let resource = MAPPING.route(&name("project"), &name("resource")).expect("the schema has the resource");
        (u8::try_from(resource.0).expect("a small schema"), document["body"].to_string())
    };
    documents.lines().map(document).collect()
}
