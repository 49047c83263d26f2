//! The effective version of a document: one definition for every statement that needs it.
//!
//! A rename that is still being worked off is a row of `dms.Cascade`. A document that refers to the renamed one and was
//! not stamped yet already counts as changed: its effective version is the cascade's, so no reader gets the old
//! identity under an old etag. Every GET, query, precondition and comparison uses these fragments; two spellings could
//! disagree under some schedule.

/// SQL of the effective version of the `dms.Document` row known as `document` (an alias such as `d`).
///
/// The expression is a `bigint`, never null.
pub fn effective_version(document: &str) -> String {
    format!(
        r#"greatest({document}."ContentVersion", (SELECT max(k."ContentVersion") FROM "dms"."Cascade" k JOIN "dms"."ReferenceEdge" e ON e."ChildDocumentId" = k."DocumentId" WHERE e."ParentDocumentId" = {document}."DocumentId"))"#
    )
}

/// SQL of the last-modified time that belongs to [`effective_version`] of `document`.
///
/// Only cascades above the document's own version count: a cascade that was already stamped into the row has left its
/// opening time there, so both ways give the same bytes.
pub fn effective_last_modified(document: &str) -> String {
    format!(
        r#"greatest({document}."LastModifiedAt", (SELECT max(k."OpenedAt") FROM "dms"."Cascade" k JOIN "dms"."ReferenceEdge" e ON e."ChildDocumentId" = k."DocumentId" WHERE e."ParentDocumentId" = {document}."DocumentId" AND k."ContentVersion" > {document}."ContentVersion"))"#
    )
}

/// Replaces `{effective_version:d}` and `{effective_last_modified:d}` in a statement file, for the alias `d`.
///
/// Other `{…}` stay: the function that owns the statement fills them in.
pub fn expand(sql: &str) -> String {
    let alias = "d";
    sql.trim_end()
        .replace("{effective_version:d}", &effective_version(alias))
        .replace("{effective_last_modified:d}", &effective_last_modified(alias))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_alias_is_used_throughout() {
        for sql in [effective_version("doc"), effective_last_modified("doc")] {
            assert!(!sql.contains("{document}") && !sql.contains(" d."), "{sql}");
            assert!(sql.matches("doc.").count() >= 2, "{sql}");
        }
    }
}
