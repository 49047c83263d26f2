//! The rules for names: PascalCase, singular table segments, SQL schemas, and shortening
//! (docs/design/edfi-model.md#edfi-4.2, docs/design/edfi-model.md#edfi-4.3, docs/design/edfi-model.md#edfi-4.8).

use sha2::{Digest, Sha256};

/// Maximum length of a PostgreSQL identifier, in bytes.
pub const POSTGRES_NAME_BYTES_MAX: usize = 63;

/// Converts one segment of a JSON path to PascalCase. Splits it at characters that are not alphanumeric (in any
/// alphabet), drops those, and starts each piece in upper case.
pub fn pascal(segment: &str) -> String {
    let mut out = String::with_capacity(segment.len());
    for piece in segment.split(|c: char| !c.is_alphanumeric()) {
        let mut chars = piece.chars();
        if let Some(first) = chars.next() {
            out.extend(first.to_uppercase());
            out.push_str(chars.as_str());
        }
    }
    out
}

/// Returns the singular of a collection's name. `ies` becomes `y`; `ches`, `shes`, `xes`, `zes` and `ses` lose `es`;
/// any other final `s` is dropped, except in `ss`. Other names stay. The schema overrides irregular plurals.
pub fn singular(plural: &str) -> String {
    if let Some(stem) = plural.strip_suffix("ies") {
        return format!("{stem}y");
    }
    if ["ches", "shes", "xes", "zes", "ses"].iter().any(|end| plural.ends_with(end)) {
        return plural[..plural.len() - 2].to_owned();
    }
    match plural.strip_suffix('s') {
        Some(stem) if !plural.ends_with("ss") && !stem.is_empty() => stem.to_owned(),
        _ => plural.to_owned(),
    }
}

/// Returns the SQL schema of a project: the ASCII letters and digits of its endpoint in lower case, with the prefix `p`
/// if they do not start with a letter.
pub fn sql_schema(project_endpoint: &str) -> String {
    let name: String =
        project_endpoint.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect();
    if name.starts_with(|c: char| c.is_ascii_alphabetic()) { name } else { format!("p{name}") }
}

/// Removes a final `suffix` (`Reference` or `Descriptor`), unless the name consists of it
/// (docs/design/rules.md#rule-20).
pub fn without_suffix<'a>(base: &'a str, suffix: &str) -> &'a str {
    base.strip_suffix(suffix).filter(|rest| !rest.is_empty()).unwrap_or(base)
}

/// Shortens a name to an engine's limit in bytes. A name that fits is unchanged. Of a longer one the first `limit - 11`
/// bytes remain, without splitting a character, followed by `_` and ten hex digits of the full name's SHA-256.
pub fn shorten(name: &str, limit: usize) -> String {
    if name.len() <= limit {
        return name.to_owned();
    }
    let mut cut = limit - 11;
    while !name.is_char_boundary(cut) {
        cut -= 1;
    }
    let digest = Sha256::digest(name.as_bytes());
    let hex: String = digest.iter().take(5).map(|byte| format!("{byte:02x}")).collect();
    format!("{}_{hex}", &name[..cut])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pascal_case_keeps_letters_and_digits_only() {
        assert_eq!(pascal("birthDate"), "BirthDate");
        assert_eq!(pascal("cip-code_2x"), "CipCode2x");
        assert_eq!(pascal("größe"), "Größe");
        assert_eq!(pascal("номер"), "Номер");
    }

    #[test]
    fn singular_follows_the_five_rules() {
        let cases = [
            ("addresses", "address"),
            ("categories", "category"),
            ("boxes", "box"),
            ("periods", "period"),
            ("class", "class"),
            ("s", "s"),
        ];
        for (plural, expected) in cases {
            assert_eq!(singular(plural), expected, "{plural}");
        }
    }

    #[test]
    fn sql_schemas_start_with_a_letter() {
        assert_eq!(sql_schema("ed-fi"), "edfi");
        assert_eq!(sql_schema("2x"), "p2x");
    }

    #[test]
    fn long_names_are_cut_and_hashed_to_the_published_vectors() {
        let cases = [
            (
                "IX_SchoolAddressPhoneNumber_ParentCollectionItemId_School_DocumentId",
                "IX_SchoolAddressPhoneNumber_ParentCollectionItemId_S_9002c7691c",
            ),
            (
                "ThisIsAVeryLongFieldNameThatWillBeTruncatedByPostgreSQLAtSixtyThree",
                "ThisIsAVeryLongFieldNameThatWillBeTruncatedByPostgre_026b941dbf",
            ),
        ];
        for (name, expected) in cases {
            assert_eq!(shorten(name, POSTGRES_NAME_BYTES_MAX), expected);
        }
        let longer =
            shorten("ThisIsAVeryLongFieldNameThatWillBeTruncatedByPostgreSQLAtSixtyThreeX", POSTGRES_NAME_BYTES_MAX);
        assert!(longer.ends_with("_e2f35e760a"), "{longer}");
    }
}
