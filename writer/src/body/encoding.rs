//! The character encoding of a body: UTF-8, with or without a byte-order mark (RFC 8259, 8.1).

/// The byte-order mark of UTF-8. .NET and Excel write it.
const MARK: &[u8] = b"\xEF\xBB\xBF";

/// Returns the text of a body without its byte-order mark; `Err` is the client's message.
pub(super) fn text(bytes: &[u8]) -> Result<&str, String> {
    let bytes = bytes.strip_prefix(MARK).unwrap_or(bytes);
    if is_utf_16_or_32(bytes) {
        return Err("The request body is encoded in UTF-16 or UTF-32: send it in UTF-8.".to_owned());
    }
    std::str::from_utf8(bytes)
        .map_err(|error| format!("The request body is not valid UTF-8 (byte {}).", error.valid_up_to()))
}

/// JSON begins with ASCII characters, so a zero among the first two bytes, or the byte-order mark, tells the others apart.
fn is_utf_16_or_32(bytes: &[u8]) -> bool {
    match bytes {
        [0xFE, 0xFF, ..] | [0xFF, 0xFE, ..] => true,
        [first, second, ..] => *first == 0 || *second == 0,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_order_mark_of_utf_8_is_no_part_of_the_text() {
        assert_eq!(text(b"\xEF\xBB\xBF{}"), Ok("{}"));
        assert_eq!(text("\u{feff}{\"a\":\"\u{feff}\"}".as_bytes()), Ok("{\"a\":\"\u{feff}\"}"));
        assert_eq!(text(b"{}"), Ok("{}"));
        assert_eq!(text(b"\xEF\xBB\xBF"), Ok(""));
    }

    #[test]
    fn other_encodings_are_told_to_use_utf_8() {
        let little: Vec<u8> = "{\"a\":1}".encode_utf16().flat_map(u16::to_le_bytes).collect();
        let big: Vec<u8> = "{\"a\":1}".encode_utf16().flat_map(u16::to_be_bytes).collect();
        let marked = [&b"\xFF\xFE"[..], &little].concat();
        let utf_32: Vec<u8> = "{}".chars().flat_map(|c| u32::from(c).to_be_bytes()).collect();
        for bytes in [little, big, marked, utf_32] {
            assert!(text(&bytes).is_err_and(|message| message.contains("send it in UTF-8")), "{bytes:?}");
        }
        assert!(text(b"{\"a\":\"\xff\"}").is_err_and(|message| message.contains("byte 6")));
    }
}
