//! The members that an API answer adds to a stored body.

use jiff::Timestamp;
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// Bytes of a body hash.
const HASH_BYTES: usize = 16;

/// The bytes that the API serves: the stored body with `id`, `_etag` and `_lastModifiedDate` before its members.
///
/// The only place that adds them, so cached and composed bodies cannot differ. `body` is a JSON object.
pub fn envelope(body: &[u8], uuid: Uuid, version: i64, last_modified: Timestamp) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len() + 120);
    append_envelope(&mut out, body, uuid, version, last_modified);
    out
}

/// Appends [`envelope`] to `out`: collections are written into one buffer.
pub fn append_envelope(out: &mut Vec<u8>, body: &[u8], uuid: Uuid, version: i64, last_modified: Timestamp) {
    out.extend_from_slice(br#"{"id":""#);
    out.extend_from_slice(uuid.as_hyphenated().encode_lower(&mut Uuid::encode_buffer()).as_bytes());
    out.extend_from_slice(br#"","_etag":""#);
    out.extend_from_slice(itoa::Buffer::new().format(version).as_bytes());
    out.extend_from_slice(br#"","_lastModifiedDate":""#);
    out.extend_from_slice(whole_seconds(last_modified).as_bytes());
    out.push(b'"');
    let members = body.strip_prefix(b"{").unwrap_or(body);
    if !members.starts_with(b"}") {
        out.push(b',');
    }
    out.extend_from_slice(members);
}

/// `yyyy-MM-ddTHH:mm:ssZ`, fractions cut off.
pub fn whole_seconds(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// The value of `dms.DocumentCache.BodyHash`: the first 16 bytes of the body's SHA-256.
pub fn body_hash(body: &[u8]) -> [u8; HASH_BYTES] {
    let digest = Sha256::digest(body);
    let mut hash = [0; HASH_BYTES];
    hash.copy_from_slice(&digest[..HASH_BYTES]);
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn server_members_stand_before_the_body() {
        let at: Timestamp = "2031-08-20T09:15:00.987Z".parse().unwrap();
        let uuid = Uuid::from_u128(0xABCD);
        let head =
            r#"{"id":"00000000-0000-0000-0000-00000000abcd","_etag":"7","_lastModifiedDate":"2031-08-20T09:15:00Z""#;
        assert_eq!(envelope(b"{}", uuid, 7, at), format!("{head}}}").into_bytes());
        assert_eq!(envelope(br#"{"a":1}"#, uuid, 7, at), format!("{head},\"a\":1}}").into_bytes());
    }

    #[test]
    fn seconds_are_cut_off_before_1970_too() {
        assert_eq!(whole_seconds("1969-12-31T23:59:58.500Z".parse().unwrap()), "1969-12-31T23:59:58Z");
    }
}
