//! Millstream has its own text analysis; this test compares its folding to ASCII with tantivy's filter.

use millstream_search::text::{nfc, terms};
use std::borrow::Cow;
use tantivy::tokenizer::{AsciiFoldingFilter, RawTokenizer, TextAnalyzer, TokenStream};

#[test]
fn letters_and_digits_are_folded_as_lucene_does() {
    let mut filter = TextAnalyzer::builder(RawTokenizer::default()).filter(AsciiFoldingFilter).build();
    let mut folded = 0;
    // Terms are composed first, which tantivy does not do: a character with a canonical equivalent is that one.
    let is_composed = |character: &char| matches!(nfc(&character.to_string()), Cow::Borrowed(_));
    let letters_and_digits = (char::MIN..=char::MAX).filter(|character| character.is_alphanumeric());
    for character in letters_and_digits.filter(is_composed) {
        // One character for one, like Java's lower case.
        let lower = character.to_lowercase().next().expect("every character has a lower case").to_string();
        let mut stream = filter.token_stream(&lower);
        assert!(stream.advance(), "one token");
        let expected = stream.token().text.clone();
        let found: Vec<String> = terms(&character.to_string()).collect();
        assert_eq!(found, [expected.as_str()], "{character:?}");
        folded += usize::from(expected != lower);
    }
    assert!(folded > 1_000, "{folded} characters were folded");
}
