//! The JSON-schema keyword `pattern` for hostile values.
//!
//! A text that is longer than the `maxLength` beside the pattern is refused for its length alone. A pattern without
//! look-around runs on an engine whose time is linear in the text; the others may take [`BACKTRACK_LIMIT`] steps.

use jsonschema::paths::Location;
use jsonschema::{Draft, Keyword, PatternOptions, ValidationError, Validator};
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// The keyword that this module replaces.
pub(super) const PATTERN: &str = "pattern";

/// Maximum number of backtracking steps of a look-around pattern before the value is refused.
const BACKTRACK_LIMIT: usize = 1_000_000;

/// Compiled patterns. A schema repeats a few patterns hundreds of times.
#[derive(Debug, Default)]
pub(super) struct Patterns(Mutex<HashMap<String, Arc<Validator>>>);

impl Patterns {
    /// Compiles the keyword of one schema; `parent` is the object that contains it.
    pub(super) fn keyword<'a>(
        &self,
        parent: &'a Map<String, Value>,
        pattern: &'a Value,
        _: Location,
    ) -> Result<Box<dyn for<'i> Keyword<'i>>, ValidationError<'a>> {
        let max_chars = parent.get("maxLength").and_then(Value::as_u64).and_then(|max| usize::try_from(max).ok());
        let validator = self.validator(pattern)?;
        Ok(Box::new(BoundedPattern { validator, chars_max: max_chars }))
    }

    fn validator(&self, pattern: &Value) -> Result<Arc<Validator>, ValidationError<'static>> {
        let text = pattern.as_str().unwrap_or_default();
        if let Some(known) = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(text) {
            return Ok(Arc::clone(known));
        }
        let schema = json!({ PATTERN: pattern });
        let options = || jsonschema::options().with_draft(Draft::Draft202012);
        let linear = options().with_pattern_options(PatternOptions::regex()).build(&schema);
        let look_around = PatternOptions::fancy_regex().backtrack_limit(BACKTRACK_LIMIT);
        let compiled = linear.or_else(|_| options().with_pattern_options(look_around).build(&schema))?;
        let compiled = Arc::new(compiled);
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(text.to_owned(), Arc::clone(&compiled));
        Ok(compiled)
    }
}

/// A pattern that is not applied to texts above a length.
struct BoundedPattern {
    validator: Arc<Validator>,
    chars_max: Option<usize>,
}

impl BoundedPattern {
    fn is_too_long(&self, text: &str) -> bool {
        // A character has at least one byte.
        self.chars_max.is_some_and(|max| text.len() > max && text.chars().nth(max).is_some())
    }
}

impl<'i> Keyword<'i> for BoundedPattern {
    fn validate(&self, instance: &'i Value) -> Result<(), ValidationError<'i>> {
        if Keyword::is_valid(self, instance) {
            Ok(())
        } else {
            Err(ValidationError::custom("the pattern does not match"))
        }
    }

    fn is_valid(&self, instance: &'i Value) -> bool {
        instance.as_str().is_none_or(|text| self.is_too_long(text)) || self.validator.is_valid(instance)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    fn compiled(schema: Value) -> Validator {
        let patterns = Patterns::default();
        jsonschema::options()
            .with_keyword(PATTERN, move |parent, value, path| patterns.keyword(parent, value, path))
            .build(&schema)
            .expect("it compiles")
    }

    #[test]
    fn values_match_as_before() {
        for pattern in [r"^(?!\s).*(?<!\s)$", r"^(?!\s)(.*\S)$", r"^(?!\s*$).+", r"^[A-Z]{2}\d+$"] {
            let ours = compiled(json!({"type": "string", "maxLength": 5, "pattern": pattern}));
            let plain = jsonschema::validator_for(&json!({"type": "string", "maxLength": 5, "pattern": pattern}));
            let plain = plain.expect("it compiles");
            for text in ["", " ", "a", " a", "a ", "a b", "AB1", "AB1 ", "a\nb", "\u{a0}a", "abcdef", "äöüßé", "äöüßéx"]
            {
                assert_eq!(ours.is_valid(&json!(text)), plain.is_valid(&json!(text)), "{pattern} {text:?}");
            }
        }
        assert!(
            jsonschema::options()
                .with_keyword(PATTERN, |parent, value, path| Patterns::default().keyword(parent, value, path))
                .build(&json!({"pattern": "("}))
                .is_err()
        );
    }

    #[test]
    fn a_text_that_is_too_long_is_not_matched() {
        let schema = compiled(json!({"maxLength": 30, "pattern": r"^(?=a)(a|aa|a+)*$"}));
        let errors = |text: String| -> Vec<String> {
            schema.iter_errors(&json!(text)).map(|error| error.kind().keyword().to_owned()).collect()
        };
        let began = Instant::now();
        for _ in 0..1_000 {
            assert_eq!(errors(format!("{}!", "a".repeat(30))), ["maxLength"]);
        }
        // Each match would take a million steps.
        assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
        assert_eq!(errors(format!("{}!", "a".repeat(29))), ["pattern"]);
    }

    #[test]
    fn a_pattern_without_look_around_takes_linear_time() {
        let schema = compiled(json!({"pattern": r"^(a|aa|a+)*$"}));
        let began = Instant::now();
        assert!(!schema.is_valid(&json!(format!("{}!", "a".repeat(1 << 20)))));
        assert!(schema.is_valid(&json!("a".repeat(1 << 20))), "no limit of steps applies");
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    }
}
