//! The instructions of docs/how-to/connect-debezium.md, extracted from the page.

use std::collections::BTreeMap;

use millstream_store::connect::ConnectOptions;
use serde_json::{Map, Value};

const PAGE: &str = include_str!("../../../docs/how-to/connect-debezium.md");
/// The page's placeholder for a secret.
const PLACEHOLDER: &str = "change me";
pub(crate) const ROLE: &str = "debezium";
pub(crate) const PASSWORD: &str = "a-secret-of-the-test";

/// Returns the fenced blocks of a language in the order of the page.
fn blocks(language: &str) -> Vec<String> {
    let fence = format!("```{language}\n");
    let after = PAGE.split(fence.as_str()).skip(1);
    after.map(|rest| rest.split("```").next().unwrap_or_default().to_owned()).collect()
}

/// Returns the SQL statements with a password.
pub(crate) fn statements() -> String {
    let [sql] = <[String; 1]>::try_from(blocks("sql")).expect("one block of SQL");
    assert!(sql.contains(PLACEHOLDER));
    sql.replace(PLACEHOLDER, PASSWORD)
}

/// The parts of the connector's configuration on the page.
pub(crate) struct Configurations {
    pub(crate) connector: Map<String, Value>,
    pub(crate) flattened: Map<String, Value>,
    pub(crate) router: Map<String, Value>,
}

impl Configurations {
    pub(crate) fn read() -> Self {
        let object =
            |text: &String| -> Map<String, Value> { serde_json::from_str(text).expect("a block is an object") };
        let mut parts: Vec<_> = blocks("json").iter().map(object).collect();
        assert_eq!(parts.len(), 3, "the connector, flattened, and the router");
        let router = parts.pop().expect("the third");
        let flattened = parts.pop().expect("the second");
        let whole = parts.pop().expect("the first");
        let connector = whole["config"].as_object().expect("a configuration").clone();
        Self { connector, flattened, router }
    }

    /// Returns a connector's configuration file: the page's text with further members, for this database and name.
    pub(crate) fn connector(
        &self,
        name: &str,
        database: &ConnectOptions,
        more: &[&Map<String, Value>],
        changed: &[(&str, &str)],
    ) -> (String, String) {
        let mut config = self.connector.clone();
        more.iter().for_each(|more| config.extend((*more).clone()));
        let place = BTreeMap::from([
            ("database.hostname", database.host().to_string()),
            ("database.port", database.port().to_string()),
            ("database.user", ROLE.to_owned()),
            ("database.password", PASSWORD.to_owned()),
            ("database.dbname", database.dbname().to_owned()),
            ("topic.prefix", name.to_owned()),
            ("slot.name", format!("debezium_{name}")),
        ]);
        for (member, value) in &place {
            assert!(config.contains_key(*member), "the page does not set {member}");
            config.insert((*member).to_owned(), Value::from(value.as_str()));
        }
        for (member, value) in changed {
            config.insert((*member).to_owned(), Value::from(*value));
        }
        let file = serde_json::json!({ "name": name, "config": config });
        (name.to_owned(), file.to_string())
    }
}
