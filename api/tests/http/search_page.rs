//! `docs/reference/search.md`: every example of the page is executed and returns the documented response.

use crate::search::loaded;
use serde_json::Value;
use std::path::Path;

/// The placeholder of values that mean nothing to a reader of the page.
const ANY: &str = "…";

/// A request of the page and the response below it.
struct Example {
    path: String,
    answer: Value,
}

fn examples(page: &str) -> Vec<Example> {
    let mut examples = Vec::new();
    let mut path = None;
    // Every second part is inside a fence.
    for block in page.split("```").skip(1).step_by(2) {
        let (language, text) = block.split_once('\n').expect("a fence ends its line");
        match language {
            "http" => path = text.trim().strip_prefix("GET ").map(str::to_owned),
            "json" => {
                let path = path.take().unwrap_or_else(|| panic!("no request above {text}"));
                let answer = serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
                examples.push(Example { path, answer });
            }
            other => panic!("a block of '{other}': requests are 'http', answers 'json'"),
        }
    }
    examples
}

/// Removes the values that differ between two loads of the same documents.
fn neutral(value: &mut Value) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                if ["id", "next", "correlationId"].contains(&name.as_str()) {
                    *value = ANY.into();
                } else {
                    neutral(value);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(neutral),
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
    for Example { path, answer } in examples {
        let mut found = api.ask("GET", &path).await.json();
        neutral(&mut found);
        assert_eq!(found, answer, "{path}\n{found}");
    }
}
