//! Checks the Dockerfile and `compose.yaml` in `docker/` against the configuration keys and the command line, without a
//! container engine. Mutated files show that the checks find wrong names.

mod compose_file;
mod dockerfile;
mod mutations;
mod rules;

use std::{fs, path::Path};

/// Reads a file of the repository.
fn text(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn the_compose_file_is_right() {
    let problems = rules::problems(&text("docker/compose.yaml"));
    assert!(problems.is_empty(), "docker/compose.yaml:\n{}", problems.join("\n"));
}

#[test]
fn every_role_runs_once() {
    let compose = compose_file::Compose::parse(&text("docker/compose.yaml")).expect("a compose file");
    let mut commands: Vec<String> = compose.millstream().map(|(_, service)| service.command().join(" ")).collect();
    commands.sort();
    let image = concat!("millstream:", env!("CARGO_PKG_VERSION"));
    assert!(compose.millstream().all(|(_, service)| service.image == image), "all services must run {image}");
    assert_eq!(commands, ["api", "ddl apply", "project", "relay", "sink kafka", "sink opensearch"]);
}

#[test]
fn the_services_are_those_that_the_tests_run_on() {
    let (compose, install) = (text("docker/compose.yaml"), text("scripts/services.d/install.sh"));
    let version = |line: &str| {
        let rest = install.split_once(line).unwrap_or_else(|| panic!("the install script does not contain {line}")).1;
        rest.split(['}', ' ', '\n']).next().expect("a version").to_owned()
    };
    for image in [
        format!("apache/kafka:{}", version("\nkafka_version=")),
        format!("opensearchproject/opensearch:{}", version("\nopensearch_version=${OPENSEARCH_VERSION:-")),
    ] {
        assert!(compose.contains(&format!("image: {image}\n")), "docker/compose.yaml must run {image}");
    }
}

#[test]
fn the_dockerfile_is_right() {
    let problems = dockerfile::problems(&text("docker/Dockerfile"));
    assert!(problems.is_empty(), "docker/Dockerfile:\n{}", problems.join("\n"));
}
