//! Runs every check over the tracked files of the repository and exits with 1 if one finds an offence.

use std::path::Path;
use std::process::ExitCode;

use millstream_lint::{columns, cycles, language, names, source, sql};

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "it is a program that prints its findings")]
fn main() -> ExitCode {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let files = match source::tracked(&root) {
        Ok(files) => files,
        Err(error) => {
            eprintln!("lint: cannot list the tracked files: {error}");
            return ExitCode::from(2);
        }
    };
    let rules = match language::rules(include_str!("../rules/language.txt")) {
        Ok(rules) => rules,
        Err(error) => {
            eprintln!("lint: lint/rules/language.txt is not valid: {error}");
            return ExitCode::from(2);
        }
    };
    let mut findings = language::check(&files, &rules);
    let (modules, unreadable) = source::modules(&files);
    findings.extend(unreadable);
    findings.extend(names::check(&modules));
    findings.extend(cycles::check(&modules));
    findings.extend(sql::check(&modules));
    findings.extend(columns::check(&modules));
    findings.sort();
    for finding in &findings {
        println!("{finding}");
    }
    if findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
