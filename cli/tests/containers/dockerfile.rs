//! Checks of a Dockerfile.

use crate::rules::{command, settings};

/// Returns all problems.
pub(crate) fn problems(text: &str) -> Vec<String> {
    let instructions = instructions(text);
    let of = |wanted: &'static str| {
        instructions.iter().filter(move |(name, _)| name == wanted).map(|(_, rest)| rest.as_str())
    };
    let stages: Vec<&str> = of("FROM").filter_map(|from| from.split_once(" AS ")).map(|(_, stage)| stage).collect();
    let mut problems = Vec::new();
    for from in of("FROM") {
        let image = from.split_whitespace().next().unwrap_or_default();
        let pinned = image.rsplit_once(':').is_some_and(|(_, tag)| tag.contains('.'));
        if !pinned && !stages.contains(&image) {
            problems.push(format!("FROM {image} has no pinned version"));
        }
    }
    let variables = of("ENV").flat_map(str::split_whitespace).filter_map(|pair| pair.split_once('='));
    problems.extend(settings(variables.map(|(name, value)| (name.to_owned(), value.to_owned()))));
    for health in of("HEALTHCHECK") {
        let words = list(health.split_once("CMD ").map_or("", |(_, words)| words));
        match words.split_first() {
            Some((program, words)) if program == "millstream" => problems.extend(command(words)),
            _ => problems.push(format!("HEALTHCHECK {health} does not run millstream")),
        }
    }
    for words in of("CMD") {
        problems.extend(command(&list(words)));
    }
    if of("USER").next_back().is_none_or(|user| user == "root" || user == "0") {
        problems.push("it runs as root".to_owned());
    }
    problems
}

/// Returns instruction names with their arguments; continued lines are joined.
fn instructions(text: &str) -> Vec<(String, String)> {
    let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    let joined = lines.collect::<Vec<_>>().join("\n").replace("\\\n", " ");
    let pairs = joined.lines().filter_map(|line| line.trim().split_once(' '));
    pairs.map(|(name, rest)| (name.to_owned(), rest.trim().to_owned())).collect()
}

/// Parses the exec form, such as `["a", "b"]`.
fn list(text: &str) -> Vec<String> {
    serde_json::from_str(text).unwrap_or_default()
}
