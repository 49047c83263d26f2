//! The statements on the shared `dms` tables, each for any number of documents.

use crate::transaction::{Pipeline, params};
use millstream_outbox::APPEND_SQL;
use millstream_pipeline::NewChange;
use millstream_schema::plan::{ResourceKeyId, ResourcePlan};
use millstream_schema::referential::{lower_uri, referential_id};
use std::collections::BTreeMap;
use uuid::Uuid;

const INSERT_DOCUMENT: &str = r#"INSERT INTO "dms"."Document" ("DocumentId", "DocumentUuid", "ResourceKeyId", "ContentVersion", "IdentityVersion", "LastModifiedAt", "CreatedAt", "ContentHash") SELECT u.i, u.u, u.k, u.v, u.v, now(), now(), u.h FROM unnest($1::int8[], $2::uuid[], $3::int2[], $4::int8[], $5::bytea[]) AS u(i, u, k, v, h)"#;
/// The time is read under the row lock: that of the transaction's start may be before a change that it waited for.
const UPDATE_DOCUMENT: &str = r#"UPDATE "dms"."Document" AS d SET "ContentVersion" = u.v, "LastModifiedAt" = greatest(d."LastModifiedAt", clock_timestamp()), "ContentHash" = u.h FROM unnest($1::int8[], $2::int8[], $3::bytea[]) AS u(i, v, h) WHERE d."DocumentId" = u.i"#;
const INSERT_IDENTITY: &str = r#"INSERT INTO "dms"."ReferentialIdentity" ("ReferentialId", "DocumentId", "ResourceKeyId", "IdentityValues") SELECT u.r, u.i, u.k, u.v::text[] FROM unnest($1::uuid[], $2::int8[], $3::int2[], $4::text[]) AS u(r, i, k, v)"#;
const INSERT_IDENTITY_LOCK: &str = r#"INSERT INTO "dms"."IdentityLock" ("DocumentId") SELECT unnest($1::int8[])"#;
const INSERT_EDGE: &str = r#"INSERT INTO "dms"."ReferenceEdge" ("ParentDocumentId", "ChildDocumentId", "IsIdentityComponent") SELECT u.p, u.c, u.f FROM unnest($1::int8[], $2::int8[], $3::bool[]) AS u(p, c, f)"#;
const DELETE_EDGE: &str = r#"DELETE FROM "dms"."ReferenceEdge" AS e USING unnest($1::int8[], $2::int8[]) AS u(p, c) WHERE e."ParentDocumentId" = u.p AND e."ChildDocumentId" = u.c"#;
const UPDATE_EDGE: &str = r#"UPDATE "dms"."ReferenceEdge" AS e SET "IsIdentityComponent" = u.f FROM unnest($1::int8[], $2::int8[], $3::bool[]) AS u(p, c, f) WHERE e."ParentDocumentId" = u.p AND e."ChildDocumentId" = u.c"#;

/// A document's row in `dms.Document`, about to be inserted.
pub(crate) struct NewDocument {
    pub(crate) document_id: i64,
    pub(crate) uuid: Uuid,
    pub(crate) key: ResourceKeyId,
    pub(crate) version: i64,
    pub(crate) content_hash: Vec<u8>,
}

/// Adds the insert of documents.
pub(crate) fn add_documents(pipeline: &mut Pipeline<'_>, documents: &[NewDocument]) {
    let ids: Vec<i64> = documents.iter().map(|d| d.document_id).collect();
    let uuids: Vec<Uuid> = documents.iter().map(|d| d.uuid).collect();
    let keys: Vec<i16> = documents.iter().map(|d| d.key).collect();
    let versions: Vec<i64> = documents.iter().map(|d| d.version).collect();
    let hashes: Vec<Vec<u8>> = documents.iter().map(|d| d.content_hash.clone()).collect();
    pipeline.add(INSERT_DOCUMENT, params![ids, uuids, keys, versions, hashes]);
}

/// Adds new versions and content hashes of edited documents.
pub(crate) fn add_edits(pipeline: &mut Pipeline<'_>, ids: Vec<i64>, versions: Vec<i64>, hashes: Vec<Vec<u8>>) {
    pipeline.add(UPDATE_DOCUMENT, params![ids, versions, hashes]);
}

/// A row of `dms.ReferentialIdentity`.
pub(crate) struct IdentityRow {
    pub(crate) referential_id: Uuid,
    pub(crate) document_id: i64,
    pub(crate) key: ResourceKeyId,
    pub(crate) values: Vec<String>,
}

/// The identity rows of one document: its own, and that of its superclass (docs/design/edfi-identity.md#edfi-2.6).
pub(crate) fn identity_rows(resource: &ResourcePlan, document_id: i64, values: &[String]) -> Vec<IdentityRow> {
    let plan = &resource.identity;
    let hashed: Vec<String> = plan
        .elements
        .iter()
        .zip(values)
        .map(|(element, value)| if element.lower_case { lower_uri(value) } else { value.clone() })
        .collect();
    let own = plan.elements.iter().zip(&hashed).map(|(element, value)| (element.path.as_str(), value.as_str()));
    let mut rows = vec![IdentityRow {
        referential_id: referential_id(&resource.project_name, &resource.resource_name, own),
        document_id,
        key: resource.key,
        values: values.to_vec(),
    }];
    if let Some(superclass) = &plan.superclass {
        let elements = superclass.paths.iter().zip(&hashed).map(|(path, value)| (path.as_str(), value.as_str()));
        rows.push(IdentityRow {
            referential_id: referential_id(&superclass.project_name, &superclass.resource_name, elements),
            document_id,
            key: superclass.key,
            values: values.to_vec(),
        });
    }
    rows
}

/// Adds the insert of identity rows, in key order so that two transactions meet in one order.
pub(crate) fn add_identities(pipeline: &mut Pipeline<'_>, mut rows: Vec<IdentityRow>) {
    rows.sort_by_key(|row| row.referential_id);
    let values: Vec<String> = rows.iter().map(|row| array_literal(&row.values)).collect();
    let ids: Vec<Uuid> = rows.iter().map(|row| row.referential_id).collect();
    let documents: Vec<i64> = rows.iter().map(|row| row.document_id).collect();
    let keys: Vec<i16> = rows.iter().map(|row| row.key).collect();
    pipeline.add(INSERT_IDENTITY, params![ids, documents, keys, values]);
}

/// Adds the lock rows of new documents of a changeable type.
pub(crate) fn add_identity_locks(pipeline: &mut Pipeline<'_>, ids: Vec<i64>) {
    pipeline.add(INSERT_IDENTITY_LOCK, params![ids]);
}

/// `{"a","b"}`: `unnest` cannot take arrays of arrays of different lengths apart.
fn array_literal(values: &[String]) -> String {
    let mut out = String::from("{");
    for (at, value) in values.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        out.push('"');
        for c in value.chars() {
            if matches!(c, '"' | '\\') {
                out.push('\\');
            }
            out.push(c);
        }
        out.push('"');
    }
    out.push('}');
    out
}

/// Adds what changes a document's reference set from `old` to `new` (child → is identity component); nothing if equal.
pub(crate) fn add_edge_difference(
    pipeline: &mut Pipeline<'_>,
    parent: i64,
    old: &BTreeMap<i64, bool>,
    new: &BTreeMap<i64, bool>,
) {
    let gone: Vec<i64> = old.keys().filter(|child| !new.contains_key(child)).copied().collect();
    let added: Vec<(i64, bool)> = new.iter().filter(|(c, _)| !old.contains_key(c)).map(|(c, f)| (*c, *f)).collect();
    let changed: Vec<(i64, bool)> =
        new.iter().filter(|(c, f)| old.get(c).is_some_and(|o| o != *f)).map(|(c, f)| (*c, *f)).collect();
    if !gone.is_empty() {
        pipeline.add(DELETE_EDGE, params![vec![parent; gone.len()], gone]);
    }
    for (sql, edges) in [(INSERT_EDGE, added), (UPDATE_EDGE, changed)] {
        if !edges.is_empty() {
            let (children, flags): (Vec<i64>, Vec<bool>) = edges.into_iter().unzip();
            pipeline.add(sql, params![vec![parent; children.len()], children, flags]);
        }
    }
}

/// Adds outbox rows (invariant ATOMIC: in the transaction of the change that they name).
pub(crate) fn add_outbox(pipeline: &mut Pipeline<'_>, changes: &[NewChange]) {
    if changes.is_empty() {
        return;
    }
    let ids: Vec<i64> = changes.iter().map(|change| change.document_id).collect();
    let uuids: Vec<Uuid> = changes.iter().map(|change| change.document_uuid).collect();
    let keys: Vec<i16> = changes.iter().map(|change| change.resource_key).collect();
    let kinds: Vec<&'static str> = changes.iter().map(|change| change.kind.as_str()).collect();
    let versions: Vec<i64> = changes.iter().map(|change| change.content_version).collect();
    pipeline.add(APPEND_SQL, params![ids, uuids, keys, kinds, versions]);
}

#[cfg(test)]
mod tests {
    use super::array_literal;

    #[test]
    fn array_literals_escape_quotes_and_backslashes() {
        let values = ["plain", "a \"b\"", "c:\\d", "", "{x,y}"].map(str::to_owned);
        assert_eq!(array_literal(&values), r#"{"plain","a \"b\"","c:\\d","","{x,y}"}"#);
    }
}
