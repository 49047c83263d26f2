//! Executes every example of `docs/reference/search.md` and compares the response with the documented one.

use crate::search::loaded;
use serde_json::Value;
use std::path::Path;

/// The placeholder in the page for values that differ between two loads.
const ANY: &str = "…";

/// A request of the page, and the documented response below it.
struct Example {
    path: String,
    response: Value,
}

fn examples(page: &str) -> Vec<Example> {
    let mut examples = Vec::new();
    let mut path = None;
    // Every second part is the content of a code block.
    for block in page.split("```").skip(1).step_by(2) {
        let (language, text) = block.split_once('\n').expect("a fence ends its line");
        match language {
            "http" => path = text.trim().strip_prefix("GET ").map(str::to_owned),
            "json" => {
                let path = path.take().unwrap_or_else(|| panic!("no request above {text}"));
                let response = serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
                examples.push(Example { path, response });
            }
            other => panic!("a block of '{other}': requests are 'http', responses 'json'"),
        }
    }
    examples
}

/// Replaces the values that differ between two loads of the same documents by [`ANY`].
fn mask(value: &mut Value) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                if ["id", "next", "correlationId"].contains(&name.as_str()) {
                    *value = ANY.into();
                } else {
                    mask(value);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(mask),
        _ => {}
    }
}

#[tokio::test]
async fn every_example_answers_as_the_page_says() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference/search.md");
    let page = std::fs::read_to_string(&page).expect("docs/reference/search.md can be read");
    let examples = examples(&page);
    assert!(examples.len() >= 9, "{} examples", examples.len());
    let api = loaded();
    for Example { path, response } in examples {
        let mut found = api.ask("GET", &path).await.json();
        mask(&mut found);
        assert_eq!(found, response, "{path}\n{found}");
    }
}
