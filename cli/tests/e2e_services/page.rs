//! The examples of a page: the contents of its `console` blocks.

use std::path::Path;

/// Prefix of a command line.
const PROMPT: &str = "$ ";
/// Stands for text that differs between runs.
const GAP: char = '…';

/// The examples under one heading, in the order of the page.
pub(crate) struct Section {
    pub(crate) title: String,
    pub(crate) examples: Vec<Example>,
}

/// A command and the output that the page shows.
pub(crate) struct Example {
    pub(crate) command: String,
    pub(crate) shown: Vec<String>,
}

/// Returns the sections of a page that have examples.
pub(crate) fn sections(page: &str) -> Vec<Section> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(page);
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{page}: {error}"));
    let mut sections = vec![Section { title: page.to_owned(), examples: Vec::new() }];
    let mut inside = None;
    for line in text.lines() {
        let section = sections.last_mut().expect("the first section exists");
        match (inside, line) {
            (None, line) if line.starts_with("```") => inside = Some(line == "```console"),
            (Some(_), "```") => inside = None,
            (Some(true), line) => section.add(line),
            (None, line) if line.starts_with("## ") => {
                sections.push(Section { title: line["## ".len()..].to_owned(), examples: Vec::new() });
            }
            _ => {}
        }
    }
    sections.retain(|section| !section.examples.is_empty());
    sections
}

impl Section {
    fn add(&mut self, line: &str) {
        match (line.strip_prefix(PROMPT), self.examples.last_mut()) {
            (Some(command), _) => self.examples.push(Example { command: command.to_owned(), shown: Vec::new() }),
            (None, Some(example)) => example.shown.push(line.to_owned()),
            (None, None) => panic!("{}: {line:?} is shown before any command", self.title),
        }
    }
}

impl Example {
    /// Returns the shown lines that the output does not contain.
    pub(crate) fn missing_in(&self, output: &str) -> Vec<&str> {
        let missing = |shown: &&String| !output.lines().any(|line| matches(shown, line));
        self.shown.iter().filter(missing).map(String::as_str).collect()
    }

    /// Splits the command into words; single quotes group a word.
    pub(crate) fn words(&self) -> Vec<String> {
        let (mut words, mut quoted) = (Vec::new(), false);
        for part in self.command.split('\'') {
            if quoted {
                words.push(part.to_owned());
            } else {
                words.extend(part.split_whitespace().map(str::to_owned));
            }
            quoted = !quoted;
        }
        words
    }
}

/// Returns whether a line equals the shown one, with any text in the gaps. The width of columns is ignored.
fn matches(shown: &str, line: &str) -> bool {
    let spaced = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let (shown, line) = (spaced(shown), spaced(line));
    let mut rest = line.as_str();
    for (at, part) in shown.split(GAP).map(str::trim).enumerate() {
        // The text before the first gap must be at the start of the line.
        match rest.find(part) {
            Some(0) => rest = &rest[part.len()..],
            Some(found) if at > 0 => rest = &rest[found + part.len()..],
            _ => return false,
        }
    }
    shown.ends_with(GAP) || rest.trim().is_empty()
}

#[test]
fn gaps_stand_for_anything_and_nothing_else_does() {
    assert!(matches("a … c", "a  b   c"));
    assert!(matches("…left…", "12 left, 3 right"));
    assert!(!matches("a … c", "a b c d"), "the whole line must match");
    assert!(!matches("b … c", "a b c"), "the match starts at the beginning");
    assert!(!matches("differences: 0", "differences: 10"));
}

#[test]
fn quoted_words_stay_whole() {
    let example = Example { command: "curl -H 'A: b' 'http://x/?y=1'".to_owned(), shown: Vec::new() };
    assert_eq!(example.words(), ["curl", "-H", "A: b", "http://x/?y=1"]);
}
