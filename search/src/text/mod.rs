//! Analysis of text into terms, the same for every engine, for documents and for `q`.
//!
//! 1. Compose canonically equivalent characters (NFC): `e` and a combining accent are the same as `é`. macOS and some
//!    exports write names in the decomposed form.
//! 2. Split at every character that Unicode does not class as alphabetic or numeric, including marks that stand alone.
//! 3. Lower-case each character by itself.
//! 4. Fold letters and digits to ASCII where the table of Lucene's filter has a form.
//! 5. Drop terms longer than [`TERM_UNITS_MAX`].
//!
//! Stemming and stop words are not used: documents are in many languages, and mostly names. In OpenSearch
//! this is a `pattern` tokenizer `[^\p{IsAlphabetic}\p{N}]+` with the filters `lowercase`, `asciifolding`, and `length`
//! with `max` 255. OpenSearch composes no characters without a plugin: the sink adds the composed texts ([`nfc`]) of a
//! document that is not in this form.

mod folding;

use std::borrow::Cow;
use std::collections::BTreeSet;
use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};

/// Maximum length of a term in UTF-16 code units. A longer term matches nothing.
pub const TERM_UNITS_MAX: usize = 255;

/// Returns the terms of a text in order, with repeats.
pub fn terms(text: &str) -> impl Iterator<Item = String> {
    words(text).filter(|term| !is_too_long(term))
}

/// Returns the distinct terms of a query. `None` if one of them is too long to match a document.
pub(crate) fn query_terms(text: &str) -> Option<BTreeSet<String>> {
    words(text).map(|term| (!is_too_long(&term)).then_some(term)).collect()
}

/// Returns the text in Unicode's Normalization Form C; borrowed if it is in this form.
pub fn nfc(text: &str) -> Cow<'_, str> {
    if text.is_ascii() || is_nfc_quick(text.chars()) == IsNormalized::Yes {
        return Cow::Borrowed(text);
    }
    let composed: String = text.nfc().collect();
    if composed == text { Cow::Borrowed(text) } else { Cow::Owned(composed) }
}

fn words(text: &str) -> impl Iterator<Item = String> {
    let composed = nfc(text);
    let split = composed.split(|character: char| !character.is_alphanumeric());
    let words: Vec<String> = split.filter(|word| !word.is_empty()).map(normal).collect();
    words.into_iter()
}

fn is_too_long(term: &str) -> bool {
    term.encode_utf16().nth(TERM_UNITS_MAX).is_some()
}

fn normal(word: &str) -> String {
    let mut term = String::with_capacity(word.len());
    for character in word.chars() {
        let lower = lower(character);
        match folding::fold(lower) {
            Some(folded) if !lower.is_ascii() => term.push_str(folded),
            _ => term.push(lower),
        }
    }
    term
}

/// Lower-cases one character to one. Only the dotted capital I has a longer lower case; Lucene converts it to an i.
fn lower(character: char) -> char {
    let mut lower = character.to_lowercase();
    lower.next().unwrap_or(character)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str) -> Vec<String> {
        terms(text).collect()
    }

    #[test]
    fn words_are_split_lowered_and_folded() {
        assert_eq!(all("Östra Heath “Hill & Dale” District"), ["ostra", "heath", "hill", "dale", "district"]);
        assert_eq!(all("O'Brien-Müller, José_2"), ["o", "brien", "muller", "jose", "2"]);
        assert_eq!(all("straße İstanbul ĲSSEL ①②"), ["strasse", "istanbul", "ijssel", "12"]);
        assert_eq!(all("学校 Школа"), ["学校", "школа"]);
        assert!(all(" \0 —!").is_empty());
    }

    #[test]
    fn canonically_equivalent_texts_have_the_same_terms() {
        let pairs = [
            ("Mu\u{308}ller", "Müller", "muller"),
            ("Jose\u{301}", "José", "jose"),
            ("\u{438}\u{306}од", "йод", "йод"),
            ("\u{1112}\u{1161}\u{11ab}", "한", "한"),
            ("e\u{302}\u{323}", "ệ", "e"),
            ("か\u{3099}く", "がく", "がく"),
        ];
        for (decomposed, composed, term) in pairs {
            assert_eq!(all(decomposed), [term], "{composed}");
            assert_eq!(all(composed), [term], "{composed}");
            assert_eq!(nfc(decomposed), composed);
        }
        assert!(matches!(nfc("José"), Cow::Borrowed(_)));
    }

    #[test]
    fn long_terms_are_dropped_from_documents_and_spoil_a_query() {
        let (longest, longer) = ("a".repeat(255), "a".repeat(256));
        assert_eq!(all(&format!("x {longest} {longer}")), ["x", &longest]);
        assert_eq!(query_terms(&longest).map(|terms| terms.len()), Some(1));
        assert_eq!(query_terms(&format!("x {longer}")), None);
    }
}
