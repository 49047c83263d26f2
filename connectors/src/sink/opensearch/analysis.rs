//! Text analysis with the same rules as `millstream_search::text`: split at every character that is neither a letter
//! nor a digit, lower case, without accents.

use serde_json::{Value, json};

/// Analyzer of text fields.
pub(super) const WORDS: &str = "millstream_words";
/// Analyzer of the part after the first `#` of a descriptor's URI.
pub(super) const CODE_WORDS: &str = "millstream_code_words";
/// Normalizer of a descriptor's URI.
pub(super) const URI: &str = "millstream_uri";
/// Normalizer of a descriptor's code value.
pub(super) const CODE: &str = "millstream_code";

/// The setting `index.analysis`.
pub(super) fn settings() -> Value {
    let words = ["lowercase", "millstream_folding", "millstream_length"];
    json!({
        "char_filter": {
            "millstream_behind_hash": { "type": "pattern_replace", "pattern": "\\A[^#]*#", "replacement": "" },
        },
        "tokenizer": {
            "millstream_words": { "type": "pattern", "pattern": "[^\\p{IsAlphabetic}\\p{N}]+" },
        },
        "filter": {
            "millstream_folding": { "type": "asciifolding", "preserve_original": "false" },
            "millstream_length": { "type": "length", "max": "255" },
        },
        "analyzer": {
            WORDS: { "type": "custom", "tokenizer": "millstream_words", "filter": words },
            CODE_WORDS: {
                "type": "custom", "char_filter": ["millstream_behind_hash"], "tokenizer": "millstream_words",
                "filter": words,
            },
        },
        "normalizer": {
            URI: { "type": "custom", "filter": ["lowercase"] },
            CODE: { "type": "custom", "char_filter": ["millstream_behind_hash"], "filter": ["lowercase"] },
        },
    })
}
