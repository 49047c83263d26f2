//! The script that builds a database: shared tables, seeds, resource tables.
//!
//! The same schema gives the same bytes: the server computes what differs between two databases (their uuid, the
//! time).

use std::fmt::Write;

use millstream_schema::apischema::EffectiveSchema;

/// The shared tables, schema `dms`, with the publication.
pub const DMS_DDL: &str = include_str!("../../sql/dms.sql");

/// Everything that `apply` executes, in order, meant for one transaction on an empty database.
pub fn script(schema: &EffectiveSchema, resource_ddl: &str) -> String {
    let mut text = String::with_capacity(DMS_DDL.len() + resource_ddl.len() + 64 * 1024);
    text.push_str(DMS_DDL);
    text.push_str("\n-- What the database is built for.\n\n");
    seeds(&mut text, schema);
    text.push_str("\n-- The resources.\n\n");
    text.push_str(resource_ddl);
    text
}

fn seeds(text: &mut String, schema: &EffectiveSchema) {
    let keys = schema.resource_keys.iter().map(|key| {
        format!(
            "({}, {}, {}, {})",
            key.id,
            literal(&key.project_name),
            literal(&key.resource_name),
            literal(&key.resource_version)
        )
    });
    insert(text, r#""dms"."ResourceKey" ("ResourceKeyId", "ProjectName", "ResourceName", "ResourceVersion")"#, keys);
    let fingerprint = format!(
        "(1, {}, {}, {}, decode({}, 'hex'), gen_random_uuid(), now())",
        literal(&schema.api_schema_version),
        literal(&schema.hash),
        schema.resource_keys.len(),
        literal(&schema.resource_key_seed_hash)
    );
    insert(
        text,
        r#""dms"."EffectiveSchema" ("Id", "ApiSchemaFormatVersion", "EffectiveSchemaHash", "ResourceKeyCount", "ResourceKeySeedHash", "DatabaseUuid", "AppliedAt")"#,
        std::iter::once(fingerprint),
    );
    let components = schema.projects.iter().map(|project| {
        let project = &project.schema;
        format!(
            "({}, {}, {}, {}, {})",
            literal(&schema.hash),
            literal(&project.project_endpoint_name),
            literal(&project.project_name),
            literal(&project.project_version),
            project.is_extension_project
        )
    });
    insert(
        text,
        r#""dms"."SchemaComponent" ("EffectiveSchemaHash", "ProjectEndpointName", "ProjectName", "ProjectVersion", "IsExtensionProject")"#,
        components,
    );
}

fn insert(text: &mut String, target: &str, rows: impl Iterator<Item = String>) {
    let rows: Vec<String> = rows.collect();
    if !rows.is_empty() {
        // Writing to a String cannot fail.
        writeln!(text, "INSERT INTO {target} VALUES\n    {};\n", rows.join(",\n    ")).unwrap_or_default();
    }
}

/// A string as an SQL literal under any `standard_conforming_strings`.
fn literal(value: &str) -> String {
    let quoted = value.replace('\'', "''");
    if quoted.contains('\\') { format!("E'{}'", quoted.replace('\\', "\\\\")) } else { format!("'{quoted}'") }
}

#[cfg(test)]
mod tests {
    use super::literal;

    #[test]
    fn literals_end_where_they_should() {
        assert_eq!(literal("O'Neill"), "'O''Neill'");
        assert_eq!(literal(r"a\'; DROP"), r"E'a\\''; DROP'");
    }
}
