//! `millstream schema check`: checks ApiSchema files without a database.

use crate::{
    compiled::Compiled,
    exit::Exit,
    failure::{Failure, Outcome},
};
use std::{fmt::Write as _, io::Write};

/// Prints the projects, the hash, the counts of derived objects, and every warning.
pub fn check(compiled: &Compiled, out: &mut dyn Write) -> Outcome {
    out.write_all(described(compiled).as_bytes()).map_err(Failure::failed)?;
    Ok(Exit::Done)
}

fn described(compiled: &Compiled) -> String {
    let (schema, mapping) = (&compiled.schema, &compiled.mapping);
    let mut text = String::new();
    for project in &schema.projects {
        let kind = if project.schema.is_extension_project { "extension" } else { "core" };
        // Writing to a string cannot fail.
        _ = writeln!(
            text,
            "{:<10} {} {} ({}), project hash {}",
            kind,
            project.schema.project_name,
            project.schema.project_version,
            project.file.display(),
            project.hash
        );
    }
    let tables: usize = compiled.model.resources.iter().map(|resource| resource.tables.len()).sum();
    let descriptors = mapping.resources.iter().filter(|resource| resource.is_descriptor).count();
    let changeable = mapping.resources.iter().filter(|resource| resource.changeable).count();
    _ = writeln!(text, "hash       {}", schema.hash);
    _ = writeln!(text, "keys       {}, seed hash {}", schema.resource_keys.len(), schema.resource_key_seed_hash);
    _ = writeln!(
        text,
        "resources  {} ({descriptors} descriptors, {changeable} with an identity that can change), {} abstract",
        mapping.resources.len(),
        mapping.abstracts.len()
    );
    _ = writeln!(text, "tables     {tables}");
    _ = writeln!(
        text,
        "took       {} ms to read and check, {} ms to derive the tables, {} ms to compile the plans",
        compiled.load.as_millis(),
        compiled.derive.as_millis(),
        compiled.compile.as_millis()
    );
    for warning in &schema.warnings {
        _ = writeln!(text, "warning    {warning}");
    }
    text
}
