//! The effective version of a document: one definition for every statement that needs it.
//!
//! A rename that is still being worked off is a row of `dms.Cascade`. A document that refers to the renamed one and was
//! not stamped yet already counts as changed: its effective version is the cascade's, so no reader gets the old
//! identity under an old etag. Every GET, query, precondition and comparison uses these fragments; a second spelling
//! anywhere would be a bug waiting for its schedule.

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
