//! ReferentialIds: UUID version 5 over a document's natural identity (docs/design/edfi-identity.md#edfi-2).
//!
//! The name that is hashed is `ProjectName ResourceName path=value#path=value…` without a separator before the first
//! path, the elements in the order of the target's `identityJsonPaths`. Values are canonical: text as in the body,
//! numbers by [`canonical_number`], descriptor URIs by [`lower_uri`], dates as `yyyy-MM-dd`, date-times as
//! `yyyy-MM-ddTHH:mm:ssZ`.

use uuid::Uuid;

/// The namespace of every ReferentialId.
pub const NAMESPACE: Uuid = Uuid::from_u128(0xedf1_edf1_3df1_3df1_3df1_3df1_edf1_edf1);

/// The single identity path of a descriptor, in descriptor documents and in references to them
/// (docs/design/edfi-identity.md#edfi-2.5).
pub const DESCRIPTOR_PATH: &str = "$.descriptor";

/// Maximum fraction digits of a canonical number.
const FRACTION_DIGITS_MAX: usize = 28;

/// Maximum digits of a canonical number in all, so that `1e400` is refused before it is written out.
const DIGITS_MAX: usize = 60;

/// Returns the ReferentialId of the document of `project` and `resource` with these identity elements.
///
/// `elements` are (path in the **target** document, canonical value), in the target's identity order.
pub fn referential_id<'a>(
    project: &str,
    resource: &str,
    elements: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Uuid {
    let mut name = String::with_capacity(160);
    name.push_str(project);
    name.push_str(resource);
    for (at, (path, value)) in elements.into_iter().enumerate() {
        if at > 0 {
            name.push('#');
        }
        name.push_str(path);
        name.push('=');
        name.push_str(value);
    }
    Uuid::new_v5(&NAMESPACE, name.as_bytes())
}

/// Returns the ReferentialId of a descriptor, whatever the casing of `uri`.
pub fn descriptor_id(project: &str, resource: &str, uri: &str) -> Uuid {
    referential_id(project, resource, [(DESCRIPTOR_PATH, lower_uri(uri).as_str())])
}

/// Returns whether the value at an identity path is a descriptor URI, which is hashed in lower case.
pub fn is_descriptor_path(path: &str) -> bool {
    path.ends_with("Descriptor") || path.ends_with("Descriptor]")
}

/// Lower-cases a descriptor URI character by character (docs/design/rules.md#rule-22), independent of machine and
/// locale.
///
/// A character whose lower case is more than one character (only U+0130) stays as it is.
pub fn lower_uri(uri: &str) -> String {
    uri.chars()
        .map(|c| {
            let mut lower = c.to_lowercase();
            match (lower.next(), lower.next()) {
                (Some(one), None) => one,
                _ => c,
            }
        })
        .collect()
}

/// Returns the canonical spelling of a JSON number: fixed point, no exponent, no superfluous zeros, `-0` is `0`.
///
/// `None` for text that is not a JSON number (leading zeros are accepted), and for a number of more than 28 fraction
/// digits or more than 60 digits in all. Ed-Fi stores no such number, and the limits bound the output.
pub fn canonical_number(text: &str) -> Option<String> {
    let (negative, unsigned) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (mantissa, exponent) = match unsigned.find(['e', 'E']) {
        Some(at) => (&unsigned[..at], parse_exponent(&unsigned[at + 1..])?),
        None => (unsigned, 0),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((_, "")) => return None,
        Some(parts) => parts,
        None => (mantissa, ""),
    };
    let digits_only = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !digits_only(whole) || !digits_only(fraction) {
        return None;
    }
    // The value is 0.DIGITS × 10^point without the zeros at both ends.
    let significant = || whole.bytes().chain(fraction.bytes());
    let leading = significant().take_while(|b| *b == b'0').count();
    let length = whole.len() + fraction.len();
    if leading == length {
        return Some("0".to_owned());
    }
    let trailing = significant().rev().take_while(|b| *b == b'0').count();
    let count = length - leading - trailing;
    let point = exponent.checked_add(i64::try_from(whole.len()).ok()?)?.checked_sub(i64::try_from(leading).ok()?)?;
    place_point(negative, significant().skip(leading).take(count), count, point)
}

/// Writes `count` digits with the decimal point after the first `point` of them, and zeros on either side.
fn place_point(negative: bool, digits: impl Iterator<Item = u8>, count: usize, point: i64) -> Option<String> {
    let zeros_before = usize::try_from(point.checked_neg()?.max(0)).ok()?;
    let whole_digits = usize::try_from(point.max(0)).ok()?;
    let fraction_digits = zeros_before.checked_add(count.saturating_sub(whole_digits))?;
    if fraction_digits > FRACTION_DIGITS_MAX || fraction_digits.checked_add(whole_digits)? > DIGITS_MAX {
        return None;
    }
    let mut out = String::with_capacity(DIGITS_MAX + 3);
    if negative {
        out.push('-');
    }
    if whole_digits == 0 {
        out.push('0');
    }
    for (at, digit) in digits.enumerate() {
        if at == whole_digits {
            out.push('.');
            out.extend(std::iter::repeat_n('0', zeros_before));
        }
        out.push(char::from(digit));
    }
    out.extend(std::iter::repeat_n('0', whole_digits.saturating_sub(count)));
    Some(out)
}

/// Parses the exponent after `e`. It saturates at 2^40: such a number is refused in any case, unless its digits are all
/// zero.
fn parse_exponent(text: &str) -> Option<i64> {
    const FAR: i64 = 1 << 40;
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    if digits.is_empty() {
        return None;
    }
    let mut value = 0i64;
    for byte in digits.bytes() {
        if !byte.is_ascii_digit() {
            return None;
        }
        value = (value * 10 + i64::from(byte - b'0')).min(FAR);
    }
    Some(if negative { -value } else { value })
}
