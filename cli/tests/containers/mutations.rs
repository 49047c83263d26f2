//! Files with one mutation each; the checks must find and name it.

use crate::{dockerfile, rules, text};

/// Replaces a text in the compose file and returns the problems.
fn compose_with(right: &str, wrong: &str) -> String {
    let compose = text("docker/compose.yaml");
    assert!(compose.contains(right), "docker/compose.yaml does not contain {right:?}");
    rules::problems(&compose.replace(right, wrong)).join("\n")
}

#[test]
fn a_mistake_in_a_compose_file_is_named() {
    let cases = [
        ("MILLSTREAM_QUEUE_KIND:", "MILLSTREAM_QUEUE_KNID:", "relay: MILLSTREAM_QUEUE_KNID names no configuration key"),
        ("MILLSTREAM_QUEUE_KIND: \"kafka\"", "MILLSTREAM_QUEUE_KIND: \"cafka\"", "it must be one of: local, kafka"),
        ("[\"relay\"]", "[\"relai\"]", "relay: `millstream relai` is not a command"),
        ("[\"sink\", \"kafka\"]", "[\"sink\", \"cafka\"]", "sink-kafka: `millstream sink cafka` is not a command"),
        ("\"127.0.0.1:8080\"", "\"0.0.0.0:8080\"", "api: MILLSTREAM_API_LISTEN is '0.0.0.0:8080'"),
        ("@postgres:5432/", "@postgres:5433/", "relay: MILLSTREAM_DATABASE_URL leads to postgres:5433"),
        ("\"kafka:19092\"\n  MILL", "\"kafka:9999\"\n  MILL", "MILLSTREAM_KAFKA_BOOTSTRAP_SERVERS leads to kafka:9999"),
        ("http://127.0.0.1:9200", "http://127.0.0.1:9201", "api: MILLSTREAM_OPENSEARCH_URL leads to 127.0.0.1:9201"),
        ("127.0.0.1:9092:9092", "9092:9092", "kafka: the port 9092:9092 is published beyond loopback"),
        ("apache/kafka:4.3.1", "apache/kafka:latest", "kafka: the image apache/kafka:latest has no pinned version"),
        (":?set the password of the database}", ":-edfi}", "postgres: ${POSTGRES_PASSWORD:-edfi} is not required"),
        (
            "${POSTGRES_PASSWORD:?set the password of the database}\"",
            "edfi\"",
            "postgres: POSTGRES_PASSWORD contains a secret",
        ),
        ("\"millstream\", \"status\"", "\"millstream\", \"state\"", "the health check"),
        ("condition: service_completed_successfully", "condition: service_healthy", "it can never see tables as"),
    ];
    for (right, wrong, message) in cases {
        let problems = compose_with(right, wrong);
        assert!(problems.contains(message), "{wrong:?} must be reported as {message:?}; reported:\n{problems}");
    }
}

#[test]
fn a_mistake_in_a_dockerfile_is_named() {
    let cases = [
        ("MILLSTREAM_DATA_DIR", "MILLSTREAM_DATADIR", "MILLSTREAM_DATADIR names no configuration key"),
        ("MILLSTREAM_LOG_FORMAT=json", "MILLSTREAM_LOG_FORMAT=xml", "it must be one of: text, json"),
        ("[\"up\"]", "[\"upp\"]", "`millstream upp` is not a command"),
        ("debian:12.11-slim", "debian:stable", "FROM debian:stable has no pinned version"),
        ("USER 10001", "USER root", "it runs as root"),
    ];
    for (right, wrong, message) in cases {
        let file = text("docker/Dockerfile");
        assert!(file.contains(right), "docker/Dockerfile does not contain {right:?}");
        let problems = dockerfile::problems(&file.replace(right, wrong)).join("\n");
        assert!(problems.contains(message), "{wrong:?} must be reported as {message:?}; reported:\n{problems}");
    }
}
