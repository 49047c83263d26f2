//! Responses of OpenSearch. The first byte selects the request, the second the status.

use millstream_connectors::sink::opensearch::fuzzing::{bulk_response, index_state, scan_page};

const BULK: &str = r#"{"took":3,"items":[{"index":{"status":201}},{"delete":{"status":404}},{"update":{"status":404,"error":{"type":"document_missing_exception"}}},{"index":{"status":400,"error":{"type":"mapper_parsing_exception","reason":"failed","caused_by":{"reason":"no date"}}}}]}"#;
const SCAN: &str = r#"{"pit_id":"x","took":1,"hits":{"hits":[{"_index":"m.g1.x","_id":"f81d4fae-7dec-11d0-a765-00a0c91e6bf6","_version":42,"_source":{"id":"x","resource":"meadow/students","document":{"amount":10.50}},"sort":["x"]}]}}"#;
const ALIASES: &str = r#"{"millstream.g1.descriptors":{"aliases":{"millstream.live":{},"millstream.generation.g1":{"filter":{}}}},"millstream.g2.ed-fi.students":{}}"#;
const ERROR: &str =
    r#"{"error":{"type":"circuit_breaking_exception","reason":"Data too large","root_cause":[]},"status":429}"#;
const STATUS: [u16; 8] = [200, 400, 402, 413, 429, 500, 503, 507];

pub fn seeds() -> Vec<Vec<u8>> {
    [(0, BULK), (0, ERROR), (1, SCAN), (2, ALIASES), (2, "millstream.g12.ed-fi.students")]
        .map(|(request, text)| [&[request, request + 4], text.as_bytes()].concat())
        .to_vec()
}

pub fn read(bytes: &[u8]) {
    let [request, status, body @ ..] = bytes else { return };
    match request % 3 {
        0 => bulk_response(STATUS[usize::from(*status) % STATUS.len()], body),
        1 => assert!(scan_page(body) <= body.len(), "more documents than the page has bytes"),
        _ => index_state(body, str::from_utf8(body).unwrap_or_default()),
    }
}
