//! The JSON schema of the protocol, generated from its types.

use super::{
    response::{Refusal, Response},
    verify::VerifyReport,
};
use schemars::{JsonSchema, generate::SchemaSettings};
use serde_json::Value;

/// The committed schema, from the root of the repository.
pub const SCHEMA_FILE: &str = "docs/reference/control-protocol.schema.json";

/// Everything that has a definition of its own in the schema.
#[derive(JsonSchema)]
#[schemars(title = "Millstream control protocol", untagged)]
#[expect(dead_code, reason = "its schema is used, never a value")]
enum Protocol {
    /// The reply to a request.
    Response(Response),
    /// The reply to a request that was refused or failed.
    Refused { refused: Refusal },
    /// The output of `millstream verify --json`.
    Verify(Box<VerifyReport>),
}

/// Returns the schema of every reply and of `verify --json`. Clients must accept members that it does not name: a later
/// version may add some.
pub fn schema() -> Value {
    SchemaSettings::draft2020_12().for_serialize().into_generator().into_root_schema_for::<Protocol>().to_value()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, path::Path};

    /// Set to rewrite the committed schema.
    const REGENERATE: &str = "MILLSTREAM_TEST_REGENERATE";

    #[test]
    fn the_committed_schema_is_that_of_the_types() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(SCHEMA_FILE);
        let current = format!("{:#}\n", schema());
        if std::env::var_os(REGENERATE).is_some() {
            fs::create_dir_all(file.parent().expect("it is in a folder")).expect("the folder can be made");
            fs::write(&file, &current).expect("it can be written");
        }
        let committed = fs::read_to_string(&file).unwrap_or_default();
        assert!(
            committed == current,
            "run `{REGENERATE}=1 cargo test -p millstream-cli --lib schema` and commit {SCHEMA_FILE}"
        );
    }
}
