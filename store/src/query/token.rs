//! Page tokens: where sequential reading continues. Opaque to clients; the first letter is the version of the format.

use millstream_schema::plan::ResourceKeyId;

const FORM: &str = "a";

/// The token for what follows `last` among the documents of a type.
pub(crate) fn write_token(key: ResourceKeyId, last: i64) -> String {
    format!("{FORM}{key:04x}{last:016x}")
}

/// The DocumentId of a token; `None` if it is not a token of this type.
pub(crate) fn read_token(key: ResourceKeyId, token: &str) -> Option<i64> {
    let digits = token.strip_prefix(FORM)?;
    if digits.len() != 20 || !digits.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte)) {
        return None;
    }
    let of_key = u16::from_str_radix(&digits[..4], 16).ok()?;
    let last = u64::from_str_radix(&digits[4..], 16).ok()?;
    (of_key == key.cast_unsigned()).then_some(last.cast_signed())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_leads_back_to_its_document_and_only_within_its_type() {
        for last in [0, 1, 987_654_321, i64::MAX] {
            assert_eq!(read_token(17, &write_token(17, last)), Some(last));
            assert_eq!(read_token(18, &write_token(17, last)), None);
        }
        for wrong in
            ["", "a", "a0011", "b001100000000000000ff", "a+01100000000000000ff", "a001100000000000000fé", "123"]
        {
            assert_eq!(read_token(17, wrong), None, "{wrong}");
        }
    }
}
