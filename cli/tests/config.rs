//! Configuration: precedence, refusals, masked secrets; and the keys, exit codes and commands in `docs/`.

use clap::CommandFactory;
use millstream_cli::{
    args::Arguments,
    config::{Config, Environment, Flags, Settings, SourceKind, Topic, key::Key, reference, show},
};
use millstream_connectors::source::topic::RecordForm;
use std::{collections::BTreeSet, fs, path::Path};

fn flags(pairs: &[(&str, &str)]) -> Flags {
    let key = |name| Key::named(name).expect("the key exists");
    pairs.iter().map(|(name, value)| (key(name), vec![(*value).to_owned()])).collect()
}

fn environment(pairs: &[(&str, &str)]) -> Environment {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn resolve(file: Option<&Path>, variables: &[(&str, &str)], set: &[(&str, &str)]) -> Result<Config, String> {
    let settings = Settings::gather(file, &environment(variables), flags(set)).map_err(|errors| errors.to_string())?;
    Config::resolve(&settings).map_err(|errors| errors.to_string())
}

fn file(text: &str) -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("m.toml");
    fs::write(&path, text).expect("the file can be written");
    (folder, path)
}

#[test]
fn flags_win_over_environment_over_file_over_defaults() {
    let (_folder, path) = file("[projector]\nbatch = 11\nworkers = 3\n[queue]\nattempts_max = 5\n");
    let config = resolve(
        Some(&path),
        &[("MILLSTREAM_PROJECTOR_BATCH", "12"), ("MILLSTREAM_PROJECTOR_WORKERS", "4")],
        &[("projector.batch", "13")],
    )
    .expect("the settings are valid");
    assert_eq!(config.projector.batch, 13, "the flag wins");
    assert_eq!(config.projector.workers, 4, "the environment wins over the file");
    assert_eq!(config.queue.attempts_max, 5, "the file wins over the default");
    assert_eq!(config.api.page_limit_max, 500, "the default remains");
}

#[test]
fn show_says_where_each_value_came_from_and_masks_secrets() {
    let (_folder, path) = file("data_dir = 'here'\n[database]\nurl = 'postgres://u:hunter2@db.example.org/edfi'\n");
    let settings = Settings::gather(
        Some(&path),
        &environment(&[("MILLSTREAM_LOG_LEVEL", "warn")]),
        flags(&[("cascade.page", "7")]),
    )
    .expect("the settings are valid");
    let shown = show(&settings);
    let line = |name: &str| shown.lines().find(|line| line.starts_with(name)).unwrap_or_default().to_owned();
    assert!(!shown.contains("hunter2"), "{shown}");
    assert!(line("database.url").contains("u:***@db.example.org:5432/edfi"), "{shown}");
    assert!(line("database.url").contains("m.toml:3"), "{shown}");
    assert!(line("log.level").ends_with("environment"), "{shown}");
    assert!(line("cascade.page").ends_with("flag"), "{shown}");
    assert!(line("api.listen").ends_with("default"), "{shown}");
    let config = Config::resolve(&settings).expect("the settings are valid");
    assert!(!format!("{config:?} {settings:?}").contains("hunter2"), "Debug masks the password");
}

#[test]
fn a_wrong_database_url_is_refused_without_repeating_it() {
    let error = resolve(None, &[("MILLSTREAM_DATABASE_URL", "postgres://u:hunter2@host:notaport/db")], &[])
        .expect_err("bad port");
    assert!(error.contains("MILLSTREAM_DATABASE_URL is '***'"), "{error}");
    assert!(!error.contains("hunter2"), "{error}");
}

#[test]
fn unknown_variables_are_refused_but_not_those_of_others() {
    let error = resolve(None, &[("MILLSTREAM_API_LISTNE", "x")], &[]).expect_err("no such key");
    assert!(error.contains("MILLSTREAM_API_LISTNE"), "{error}");
    let others = [
        ("MILLSTREAM_SERVICE_HOST", "10.0.0.1"),
        ("MILLSTREAM_PORT", "tcp://10.0.0.1:80"),
        ("MILLSTREAM_CORPUS", "/x"),
        ("MILLSTREAM_SERVICES_DIR", "/x"),
        ("MILLSTREAM_RECORD_DIR", "/x"),
        ("MILLSTREAM_SCHEDULES", "100"),
        ("PATH", "/bin"),
    ];
    resolve(None, &others, &[]).expect("Millstream ignores all of them");
}

#[test]
fn only_loopback_may_be_listened_on() {
    for address in ["0.0.0.0:8080", "10.1.2.3:80", "[::]:8080"] {
        let error = resolve(None, &[], &[("api.listen", address)]).expect_err("not loopback");
        assert!(error.contains("--api-listen") && error.contains("loopback only"), "{error}");
    }
    for address in ["127.0.0.1:0", "[::1]:8080", "localhost:8080"] {
        resolve(None, &[], &[("api.listen", address)]).expect("loopback");
    }
}

#[test]
fn every_problem_is_named_at_once() {
    let error = resolve(
        None,
        &[("MILLSTREAM_CASCADE_PAGE", "0")],
        &[("log.level", "=["), ("source.slot", "Bad-Name"), ("projector.batch", "many")],
    )
    .expect_err("four settings are invalid");
    for part in [
        "MILLSTREAM_CASCADE_PAGE is '0'",
        "--log-level",
        "--source-slot",
        "--projector-batch is 'many': it must be a whole number from 1",
    ] {
        assert!(error.contains(part), "{part} is missing in: {error}");
    }
}

#[test]
fn a_file_that_was_named_has_to_exist() {
    let error = resolve(Some(Path::new("/nowhere/m.toml")), &[], &[]).expect_err("the file does not exist");
    assert!(error.contains("/nowhere/m.toml"), "{error}");
}

#[test]
fn the_reference_in_docs_is_that_of_the_code() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference/configuration.md");
    let text = fs::read_to_string(&path).expect("the page can be read");
    assert!(
        text.contains(&reference()),
        "run `millstream config reference` and paste it into docs/reference/configuration.md"
    );
}

/// Returns the TOML blocks of a page.
fn configurations_in(page: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(page);
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{page}: {error}"));
    let blocks = text.split("```toml\n").skip(1);
    blocks.map(|rest| rest.split("```").next().unwrap_or_default().to_owned()).collect()
}

#[test]
fn every_configuration_in_docs_is_accepted() {
    let resolved = |text: &String| {
        let (_folder, path) = file(text);
        resolve(Some(&path), &[], &[]).unwrap_or_else(|error| panic!("{text}: {error}"))
    };
    assert_eq!(configurations_in("reference/configuration.md").iter().map(resolved).count(), 1);
    let shown: Vec<SourceKind> =
        configurations_in("how-to/choose-a-source.md").iter().map(|text| resolved(text).source.kind).collect();
    let topic = |name: &str, group: &str, form| {
        SourceKind::Topic(Topic { name: name.to_owned(), group: group.to_owned(), form })
    };
    let connectors = "millstream-debezium_millstream";
    let expected = [
        SourceKind::Poll,
        topic("millstream.changes", "millstream-millstream", RecordForm::Millstream),
        topic("edfi.dms.Outbox", connectors, RecordForm::DebeziumEnvelope),
        topic("millstream.changes", connectors, RecordForm::DebeziumRouter),
    ];
    assert_eq!(shown, expected);
}

#[test]
fn missing_and_contradicting_source_settings_are_all_named() {
    let brokers = ("kafka.bootstrap_servers", "b:9092");
    for (set, messages) in [
        (vec![("source.kind", "topic")], vec!["source.topic has to name", "kafka.bootstrap_servers has to name"]),
        (vec![("source.kind", "debezium"), ("source.topic", "t")], vec!["kafka.bootstrap_servers"]),
        (
            vec![("source.topic", "t"), ("source.group", "g")],
            vec!["--source-topic is 't': only topics", "--source-group"],
        ),
        (
            vec![("source.kind", "poll"), ("source.form", "millstream")],
            vec!["--source-form is 'millstream': only topics"],
        ),
        (
            vec![("source.kind", "topic"), ("source.topic", "t"), brokers, ("source.form", "debezium-router")],
            vec!["--source-form is 'debezium-router': the kind topic is millstream"],
        ),
        (
            vec![("source.kind", "debezium"), ("source.topic", "t"), brokers, ("source.form", "millstream")],
            vec!["--source-form is 'millstream'"],
        ),
        (vec![("source.kind", "carrier-pigeon")], vec!["it must be one of: logical, poll, topic, debezium"]),
        (vec![("source.kind", "topic"), ("source.topic", "a b"), brokers], vec!["--source-topic is 'a b'"]),
    ] {
        let error = resolve(None, &[], &set).expect_err("refused");
        for part in messages {
            assert!(error.contains(part), "{part} is not in {error}");
        }
    }
    assert_eq!(resolve(None, &[], &[]).expect("valid").source.kind, SourceKind::Slot);
}

#[test]
fn the_exit_codes_in_docs_are_those_of_the_code() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference/commands.md");
    let text = fs::read_to_string(&path).expect("the page can be read");
    for exit in millstream_cli::exit::Exit::ALL {
        let row = format!("| {} | `{exit:?}` |", exit.code());
        assert!(text.contains(&row), "docs/reference/commands.md lacks the row {row}");
    }
}

#[test]
fn the_default_page_limit_is_at_most_the_maximum() {
    let refusal = resolve(None, &[], &[("api.page_limit", "60"), ("api.page_limit_max", "50")]).expect_err("refused");
    assert_eq!(refusal, "--api-page-limit is '60': it must not be larger than api.page_limit_max, which is 50");
    assert!(resolve(None, &[], &[("api.page_limit", "50"), ("api.page_limit_max", "50")]).is_ok());
}

/// Returns the names of all commands, such as `quarantine list`.
fn commands() -> BTreeSet<String> {
    let name = |command: &clap::Command| command.get_name().to_owned();
    let all = Arguments::command();
    let names = all.get_subcommands().flat_map(|command| {
        let inner: Vec<String> =
            command.get_subcommands().map(|inner| format!("{} {}", name(command), name(inner))).collect();
        if inner.is_empty() { vec![name(command)] } else { inner }
    });
    names.collect()
}

/// Returns the commands in the table of a page. In a row with several commands, the later ones share the group word of
/// the first (`sink add`, `remove`).
fn commands_in(page: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for row in page.lines().filter(|line| line.starts_with("| `millstream ")) {
        let cell = row.split('|').nth(1).expect("a row has cells");
        let mut before = String::new();
        for named in cell.split('`').skip(1).step_by(2) {
            let named = named.trim_start_matches("millstream ");
            let is_word = |word: &&str| word.chars().all(|c| c.is_ascii_lowercase());
            let words: Vec<&str> = named.split(' ').take_while(is_word).collect();
            let name = if before.is_empty() { words.join(" ") } else { format!("{before} {}", words.join(" ")) };
            if let (true, [group, _]) = (before.is_empty(), words.as_slice()) {
                (*group).clone_into(&mut before);
            }
            found.insert(name);
        }
    }
    found
}

#[test]
fn the_commands_in_docs_are_those_of_the_code() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference/commands.md");
    let page = fs::read_to_string(&path).expect("the page can be read");
    let mut in_code = commands();
    // `sink NAME` is a role: clap does not know it as a subcommand.
    in_code.insert("sink".to_owned());
    assert_eq!(commands_in(&page), in_code);
}
