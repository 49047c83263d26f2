//! Checks of a compose file.

use crate::compose_file::{Compose, Service, filled};
use clap::Parser as _;
use millstream_cli::{
    args::{Action, Arguments, SinkAction},
    config::{Config, Environment, Flags, Settings, key::Key},
    sinks,
};

/// Returns all problems, each with the name of its service.
pub(crate) fn problems(text: &str) -> Vec<String> {
    let compose = match Compose::parse(text) {
        Ok(compose) => compose,
        Err(problem) => return vec![problem],
    };
    let mut all = Vec::new();
    for (name, service) in &compose.services {
        let mut found = general(&compose, service);
        if service.is_millstream() {
            found.extend(of_millstream(&compose, service));
        }
        all.extend(found.into_iter().map(|problem| format!("{name}: {problem}")));
    }
    all
}

/// Checks every service: pinned image, health check, ports on loopback, required secrets.
fn general(compose: &Compose, service: &Service) -> Vec<String> {
    let mut problems = Vec::new();
    let tag = service.image.rsplit_once(':').map_or("", |(_, tag)| tag);
    if !tag.starts_with(|first: char| first.is_ascii_digit()) || !tag.contains('.') {
        problems.push(format!("the image {} has no pinned version", service.image));
    }
    let checked = service.healthcheck.as_ref().is_some_and(|check| !check.disable && !check.test.is_empty());
    if !checked && !service.ends() {
        problems.push("it has no health check".to_owned());
    }
    for port in service.ports.iter().filter(|port| !port.starts_with("127.0.0.1:")) {
        problems.push(format!("the port {port} is published beyond loopback"));
    }
    for text in service.environment.values().chain(&service.volumes) {
        problems.extend(filled(text).1.into_iter().map(|variable| format!("${{{variable}}} is not required")));
    }
    for (name, value) in &service.environment {
        if is_secret(name) && !value.contains("${") {
            problems.push(format!("{name} contains a secret in clear text"));
        }
    }
    for (other, dependency) in &service.depends_on {
        match compose.services.get(other) {
            None => problems.push(format!("it depends on {other}, which is not a service")),
            Some(other_service) if other_service.ends() != dependency.condition.contains("completed") => {
                problems.push(format!("it can never see {other} as {}", dependency.condition));
            }
            Some(_) => {}
        }
    }
    problems
}

fn is_secret(variable: &str) -> bool {
    let of_key = variable_key(variable).is_some_and(Key::is_secret);
    of_key || ["PASSWORD", "SECRET", "TOKEN"].iter().any(|word| variable.ends_with(word))
}

/// Returns the configuration key that an environment variable sets.
pub(crate) fn variable_key(variable: &str) -> Option<&'static Key> {
    millstream_cli::config::key::KEYS.iter().find(|key| key.env() == variable)
}

/// Checks a Millstream service: its variables are keys with valid values, a service listens at each address, and the
/// command exists.
fn of_millstream(compose: &Compose, service: &Service) -> Vec<String> {
    let mut problems = settings(service.environment.iter().map(|(name, value)| (name.clone(), filled(value).0)));
    problems.extend(command(service.command()));
    let check = service.healthcheck.as_ref().map_or(&[] as &[String], |check| &check.test);
    if let [kind, program, words @ ..] = check
        && (kind != "CMD" || program != "millstream" || command(words).is_some())
    {
        problems.push(format!("the health check {check:?} is not a command of Millstream"));
    }
    for (name, address) in addresses(service) {
        if !compose.answers(&address, service.is_on_host()) {
            problems.push(format!("{name} leads to {address}, where nothing listens"));
        }
    }
    if !service.volumes.iter().any(|volume| volume.contains(":/schema:")) {
        problems.push("it has no ApiSchema files".to_owned());
    }
    problems
}

/// Returns the problems of the configuration with these variables.
pub(crate) fn settings(variables: impl Iterator<Item = (String, String)>) -> Vec<String> {
    let environment: Environment = variables.collect();
    let unknown =
        environment.iter().filter(|(name, _)| name.starts_with("MILLSTREAM_") && variable_key(name).is_none());
    let mut problems: Vec<String> = unknown.map(|(name, _)| format!("{name} names no configuration key")).collect();
    let known: Environment = environment.iter().filter(|(name, _)| variable_key(name).is_some()).cloned().collect();
    let resolved = Settings::gather(None, &known, Flags::new()).and_then(|settings| Config::resolve(&settings));
    problems.extend(resolved.err().map(|refused| refused.to_string()));
    problems
}

/// Returns the problem of the command line with these words.
pub(crate) fn command(words: &[String]) -> Option<String> {
    let line = std::iter::once("millstream").chain(words.iter().map(String::as_str));
    let refused = |why: &str| Some(format!("`millstream {}` is not a command: {why}", words.join(" ")));
    match Arguments::try_parse_from(line) {
        Err(error) => refused(error.to_string().lines().next().unwrap_or_default()),
        // clap takes any other word after `sink` for the name of a sink.
        Ok(Arguments { command: Action::Sink(SinkAction::Run(names)), .. }) => {
            let known = matches!(names.as_slice(), [name] if sinks::NAMES.contains(&name.as_str()));
            if known { None } else { refused("unknown sink") }
        }
        Ok(_) => None,
    }
}

/// Returns the variable and `host:port` of each configured connection.
fn addresses(service: &Service) -> Vec<(&str, String)> {
    let of = |name: &'static str| service.environment.get(name).map(|value| (name, filled(value).0));
    let mut found = Vec::new();
    if let Some((name, url)) = of("MILLSTREAM_DATABASE_URL") {
        let address = url.rsplit_once('@').map_or("", |(_, rest)| rest).split('/').next().unwrap_or_default();
        found.push((name, address.to_owned()));
    }
    if let Some((name, servers)) = of("MILLSTREAM_KAFKA_BOOTSTRAP_SERVERS") {
        found.extend(servers.split(',').map(|server| (name, server.to_owned())));
    }
    if let Some((name, url)) = of("MILLSTREAM_OPENSEARCH_URL") {
        found.push((name, url.split("//").nth(1).unwrap_or_default().to_owned()));
    }
    found
}
