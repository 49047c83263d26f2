//! Encoding of a bulk request. The bytes of a document are copied unchanged and not parsed.

use std::collections::BTreeSet;

use bytes::{BufMut, Bytes, BytesMut};
use millstream_pipeline::sink::{Content, Delivery};
use uuid::fmt::Hyphenated;

/// Size of a pair of lines without the document.
const FRAME_BYTES: usize = 300;

/// One delivery and its destination.
#[derive(Debug, Clone, Copy)]
pub(super) struct BulkLine<'a> {
    pub(super) delivery: &'a Delivery,
    /// Write alias of its index.
    pub(super) alias: &'a str,
    /// Name of its resource, as JSON.
    pub(super) resource_json: &'a str,
    /// Texts to be indexed beside those of the document, as a JSON array.
    pub(super) texts: Option<&'a str>,
}

/// Returns whether the document contains a line break, which would end its line in a bulk. JSON allows one between
/// tokens, but the composer of documents writes none.
pub(super) fn has_line_break(delivery: &Delivery) -> bool {
    match &delivery.content {
        Content::Document(json) => json.contains(&b'\n'),
        Content::Deleted => false,
    }
}

/// Encodes the lines of a bulk, each delivery in order. Further lines may follow, whose items mean nothing.
///
/// A delete with an external version creates a missing index under the name of its target, and no option of a delete
/// prevents it: an index would take the place of the alias. OpenSearch creates no index for a name that another item of
/// the bulk requires to be an alias, so an alias with deletes only gets an update of a document that does not exist.
pub(super) fn lines(all: &[BulkLine<'_>]) -> Bytes {
    let size = all.iter().map(|line| line.delivery.bytes() + FRAME_BYTES).sum();
    let mut bytes = BytesMut::with_capacity(size);
    for line in all {
        put_line(&mut bytes, *line);
    }
    for alias in aliases_with_deletes_only(all) {
        let guard = ["{\"update\":{\"_index\":\"", alias, "\",\"_id\":\"requires-alias\"}}\n{\"doc\":{}}\n"];
        guard.iter().for_each(|part| bytes.put_slice(part.as_bytes()));
    }
    bytes.freeze()
}

fn aliases_with_deletes_only<'a>(all: &[BulkLine<'a>]) -> BTreeSet<&'a str> {
    let is_delete = |line: &&BulkLine<'_>| line.delivery.content == Content::Deleted;
    let mut aliases: BTreeSet<&str> = all.iter().filter(is_delete).map(|line| line.alias).collect();
    if !aliases.is_empty() {
        for line in all.iter().filter(|line| !is_delete(line)) {
            aliases.remove(line.alias);
        }
    }
    aliases
}

fn put_line(bytes: &mut BytesMut, line: BulkLine<'_>) {
    let BulkLine { delivery, alias, .. } = line;
    let mut id = [0; Hyphenated::LENGTH];
    let id: &str = delivery.key.uuid.hyphenated().encode_lower(&mut id);
    let action = match delivery.content {
        Content::Document(_) => "index",
        Content::Deleted => "delete",
    };
    // Only a repair may overwrite the same version.
    let version_type = if delivery.repair { "external_gte" } else { "external" };
    let version = delivery.version.to_string();
    let head = [
        "{\"",
        action,
        "\":{\"_index\":\"",
        alias,
        "\",\"_id\":\"",
        id,
        "\",\"version\":",
        &version,
        ",\"version_type\":\"",
        version_type,
        "\"}}\n",
    ];
    head.iter().for_each(|part| bytes.put_slice(part.as_bytes()));
    if let Content::Document(json) = &delivery.content {
        put_source(bytes, id, &line, json);
        bytes.put_slice(b"\n");
    }
}

fn put_source(bytes: &mut BytesMut, id: &str, line: &BulkLine<'_>, json: &[u8]) {
    let texts = line.texts.map_or(["", ""], |texts| [",\"text\":", texts]);
    let frame = ["{\"id\":\"", id, "\",\"resource\":", line.resource_json, texts[0], texts[1], ",\"document\":"];
    frame.iter().for_each(|part| bytes.put_slice(part.as_bytes()));
    bytes.put_slice(json);
    bytes.put_slice(b"}");
}

/// Encodes the body of a document outside a bulk.
pub(super) fn source(id: &str, line: &BulkLine<'_>, json: &[u8]) -> Bytes {
    let mut bytes = BytesMut::with_capacity(json.len() + FRAME_BYTES);
    put_source(&mut bytes, id, line, json);
    bytes.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;
    use millstream_pipeline::sink::DocumentKey;
    use uuid::Uuid;

    #[test]
    fn every_delivery_is_its_own_action_at_its_version() {
        let key = DocumentKey { uuid: Uuid::from_u128(0xAB), resource_key: 1 };
        let content = Content::Document(Bytes::from_static(b"{\"amount\":1.10}"));
        let put = Delivery { key, version: 7, content, repair: false };
        let repair = Delivery { repair: true, ..put.clone() };
        let delete = Delivery { key, version: 8, content: Content::Deleted, repair: false };
        let all = [put, repair, delete];
        let line = |delivery| BulkLine { delivery, alias: "m.write.g1.x", resource_json: "\"ed-fi/x\"", texts: None };
        let bytes = lines(&all.iter().map(line).collect::<Vec<_>>());
        let id = "00000000-0000-0000-0000-0000000000ab";
        let document = format!("{{\"id\":\"{id}\",\"resource\":\"ed-fi/x\",\"document\":{{\"amount\":1.10}}}}\n");
        let head = |action: &str, version: i64, kind: &str| {
            format!(
                "{{\"{action}\":{{\"_index\":\"m.write.g1.x\",\"_id\":\"{id}\",\"version\":{version},\"version_type\":\"{kind}\"}}}}\n"
            )
        };
        let expected = [
            head("index", 7, "external"),
            document.clone(),
            head("index", 7, "external_gte"),
            document,
            head("delete", 8, "external"),
        ];
        assert_eq!(bytes, expected.concat());
    }
}
