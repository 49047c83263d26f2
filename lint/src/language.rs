//! Vocabulary and prose: the list of words and openings in `rules/language.txt`.

use regex::Regex;

use crate::{Finding, SourceFile};

/// Files that name the words in order to replace them.
const EXEMPT: [&str; 1] = ["lint/rules/language.txt"];
/// Where a word is a proper name: the Unix account that servers run under as root.
const ACCOUNT: &str = concat!("no", "body");
const NAMES: [(&str, &str); 4] = [
    ("scripts/services.d/opensearch.sh", ACCOUNT),
    ("store/src/cluster/", ACCOUNT),
    ("store/tests/cluster.rs", ACCOUNT),
    ("store/tests/connect.rs", ACCOUNT),
];
/// The heading below which the glossary lists replaced words.
const GLOSSARY: (&str, &str) = ("docs/glossary.md", "## Renamed");
/// The changelog's history keeps the words of its time: everything below the second release heading.
const CHANGELOG: &str = "CHANGELOG.md";

/// One rule.
#[derive(Debug)]
pub struct Rule {
    pattern: Regex,
    remedy: String,
}

/// Parses the rules: a regular expression, a tab, the remedy; `#` opens a comment.
///
/// # Errors
/// When a line has no tab or its expression is not valid.
pub fn rules(text: &str) -> Result<Vec<Rule>, String> {
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let (pattern, remedy) = line.split_once('\t').ok_or_else(|| format!("no tab in rule {line:?}"))?;
            let pattern = Regex::new(pattern).map_err(|error| error.to_string())?;
            Ok(Rule { pattern, remedy: remedy.to_owned() })
        })
        .collect()
}

/// Returns every line that breaks a rule.
#[must_use]
pub fn check(files: &[SourceFile], rules: &[Rule]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in files.iter().filter(|file| !EXEMPT.contains(&file.path.as_str()) && !is_data(&file.path)) {
        for (index, line) in checked(file).lines().enumerate() {
            for rule in rules.iter().filter(|rule| rule.pattern.is_match(line)) {
                let found = rule.pattern.find(line).map_or("", |found| found.as_str().trim());
                if NAMES.iter().any(|(path, name)| file.path.starts_with(path) && found == *name) {
                    continue;
                }
                findings.push(file.finding(index + 1, &format!("{found:?}: write {}", rule.remedy)));
            }
        }
    }
    findings
}

/// Data is not prose, and neither is a lock file or a third party's licence.
fn is_data(path: &str) -> bool {
    let extension = path.rsplit('.').next().unwrap_or_default();
    matches!(extension, "json" | "jsonl" | "lock" | "svg" | "xml" | "snap" | "proptest-regressions" | "csv")
        || path == "LICENSE"
        || path.contains("/fixtures/")
}

/// The part of a file that the rules apply to.
fn checked(file: &SourceFile) -> &str {
    let cut = |at: Option<usize>| at.map_or(file.text.as_str(), |at| &file.text[..at]);
    if file.path == GLOSSARY.0 {
        return cut(file.text.find(GLOSSARY.1));
    }
    if file.path == CHANGELOG {
        return cut(file.text.match_indices("\n## ").nth(1).map(|(at, _)| at));
    }
    &file.text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(path: &str, text: &str) -> Vec<Finding> {
        let rules = rules(include_str!("../rules/language.txt")).expect("the rules are valid");
        check(&[SourceFile::new(path, text)], &rules)
    }

    #[test]
    fn every_rule_finds_its_offence() {
        for line in [
            concat!("    /// Wha", "t is waited for."),
            concat!("//! Wha", "t a sink is."),
            concat!("// who", "ever asked"),
            concat!("let reason = \"no", "body answered\";"),
            concat!("it is", " no topic"),
            concat!("made a", "new"),
            concat!("kept for", " ever"),
            concat!("the cou", "rier"),
            concat!("ber", "ths"),
            concat!("Fle", "et"),
            concat!("err", "ands"),
            concat!("cho", "re"),
        ] {
            assert_eq!(findings("cli/src/a.rs", line).len(), 1, "{line}");
        }
    }

    #[test]
    fn plain_prose_history_and_data_pass() {
        assert_eq!(findings("cli/src/a.rs", "/// Returns the position. It is not a topic; renewed forever."), []);
        let old = concat!("# Changelog\n\n## Unreleased\n\nGood.\n\n## 0.1.0\n\nThe cou", "rier.\n");
        assert_eq!(findings("CHANGELOG.md", old), []);
        let new = concat!("# Changelog\n\n## Unreleased\n\nThe cou", "rier.\n\n## 0.1.0\n");
        assert_eq!(findings("CHANGELOG.md", new).len(), 1);
        assert_eq!(findings("docs/glossary.md", concat!("Terms\n\n## Renamed\n\ncou", "rier")), []);
        assert_eq!(findings("a.jsonl", concat!("{\"a\":\"no", "body\"}")), []);
    }

    #[test]
    fn a_rule_without_a_remedy_is_refused() {
        assert!(rules("abc").is_err() && rules("(\tx").is_err());
    }
}
