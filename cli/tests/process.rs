//! The binary as its users see it: up, load, status, verify and stop on a cluster of its own, exit codes included.

use millstream_cli::exit::Exit;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;
use std::{
    ffi::OsStr,
    fs::{self, Permissions},
    io::{BufRead, BufReader},
    os::unix::{ffi::OsStrExt, fs::PermissionsExt},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::mpsc,
    time::{Duration, Instant},
};

/// How long a start or a stop may take.
const PATIENCE: Duration = Duration::from_secs(90);

/// A data folder that the account of PostgreSQL may enter, and commands on it.
struct Place {
    folder: tempfile::TempDir,
    _watchdog: Child,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder can be made");
        fs::set_permissions(folder.path(), Permissions::from_mode(0o711)).expect("it can be opened up");
        let watchdog = millstream_testkit::cluster::watch(folder.path());
        Self { folder, _watchdog: watchdog }
    }

    fn data_dir(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_millstream"));
        command.arg("--data-dir").arg(self.data_dir()).args(arguments).stdin(Stdio::null());
        command.current_dir(self.folder.path());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("millstream can be started")
    }

    fn up(&self) -> Up {
        self.start(self.command(&["up", "--api-listen", "127.0.0.1:0", "--schema", &fixture("")]))
    }

    /// Starts a command that runs `up`, and waits until it says that it is ready.
    fn start(&self, mut command: Command) -> Up {
        let mut child =
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("millstream can be started");
        let stdout = child.stdout.take().expect("its output is piped");
        let (sender, line) = mpsc::channel();
        std::thread::spawn(move || sender.send(BufReader::new(stdout).lines().next()));
        let stderr = child.stderr.take().expect("its log is piped");
        let log = std::thread::spawn(move || std::io::read_to_string(stderr).unwrap_or_default());
        let ready = line.recv_timeout(PATIENCE).ok().flatten().and_then(Result::ok);
        let mut up = Up { child, log: Some(log) };
        match ready {
            Some(line) if line.contains("http://127.0.0.1:") => up,
            other => panic!("it said {other:?}, and in its log: {}", up.kill()),
        }
    }
}

/// A running process. It is killed when dropped.
struct Up {
    child: Child,
    log: Option<std::thread::JoinHandle<String>>,
}

impl Up {
    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().cast_signed()), signal).expect("it can be signalled");
    }

    /// SIGTERM; answers its exit code.
    fn stop(self) -> Option<i32> {
        self.stop_by(Signal::SIGTERM)
    }

    /// Sends a signal that ends it; answers its exit code.
    fn stop_by(mut self, signal: Signal) -> Option<i32> {
        self.signal(signal);
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait().expect("it can be asked") {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("it did not stop: {}", self.kill())
    }

    /// kill -9, and gone when this returns; answers its log.
    fn kill(&mut self) -> String {
        self.signal(Signal::SIGKILL);
        self.child.wait().expect("it can be waited for");
        self.log.take().map(|log| log.join().expect("the log can be read")).unwrap_or_default()
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.kill();
        }
    }
}

fn fixture(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../schema/fixtures").join(name);
    path.canonicalize().expect("the fixture is there").display().to_string()
}

fn code(output: &Output) -> Option<i32> {
    output.status.code()
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn exit(exit: Exit) -> Option<i32> {
    Some(exit.code().into())
}

#[test]
fn up_load_verify_stop_and_again_after_a_kill() {
    let place = Place::new();
    let schema = fixture("");
    assert_eq!(code(&place.run(&["status"])), exit(Exit::NotRunning));

    let up = place.up();
    let loaded = place.run(&["load", &fixture("documents.jsonl"), "--progress", "none"]);
    assert_eq!(code(&loaded), exit(Exit::Done), "{}", said(&loaded));
    assert!(said(&loaded).contains("223 created, 0 there already, 0 refused"), "{}", said(&loaded));
    let verified = place.run(&["verify", "--schema", &schema]);
    assert_eq!(code(&verified), exit(Exit::Done), "{}", said(&verified));
    assert_eq!(said(&verified).lines().last(), Some("differences: 0"));

    let second = place.run(&["up", "--schema", &schema, "--api-listen", "127.0.0.1:0"]);
    assert_eq!(code(&second), exit(Exit::Failed), "{}", said(&second));
    assert!(said(&second).contains("runs on"), "{}", said(&second));

    assert_eq!(up.stop(), Some(0), "a stop is no failure");
    assert_eq!(code(&place.run(&["load", &fixture("documents.jsonl")])), exit(Exit::NotRunning));
    let alone = place.run(&["verify", "--schema", &schema, "--json"]);
    assert_eq!(code(&alone), exit(Exit::Done), "a cluster is started for it: {}", said(&alone));
    let report: Value = serde_json::from_slice(&alone.stdout).expect("it is JSON");
    assert_eq!((&report["documents"], &report["differences"], &report["behind"]), (&223.into(), &0.into(), &0.into()));

    let mut killed = place.up();
    killed.kill();
    let up = place.up();
    let status = place.run(&["status", "--json"]);
    let status: Value = serde_json::from_slice(&status.stdout).expect("it is JSON");
    assert_eq!(status["state"], "running", "{status:#}");
    assert_eq!(status["database"]["managed"], true, "{status:#}");
    let again = place.run(&["load", &fixture("documents.jsonl"), "--progress", "none"]);
    assert!(said(&again).contains("0 created, 223 there already, 0 refused"), "{}", said(&again));
    assert_eq!(code(&place.run(&["verify", "--schema", &schema])), exit(Exit::Done));
    assert_eq!(up.stop(), Some(0));
}

#[test]
fn a_database_of_another_schema_is_refused_and_left_alone() {
    let place = Place::new();
    let (core, both) = (fixture("meadow.ApiSchema.json"), fixture(""));
    let made = place.run(&["ddl", "apply", "--schema", &both]);
    assert_eq!(code(&made), exit(Exit::Done), "{}", said(&made));
    let again = place.run(&["ddl", "apply", "--schema", &both]);
    assert!(code(&again) == exit(Exit::Done) && said(&again).contains("already"), "{}", said(&again));
    for refused in [
        place.run(&["up", "--schema", &core, "--api-listen", "127.0.0.1:0"]),
        place.run(&["ddl", "apply", "--schema", &core]),
        place.run(&["verify", "--schema", &core]),
    ] {
        assert_eq!(code(&refused), exit(Exit::Failed), "{}", said(&refused));
        assert!(said(&refused).contains("effective schema"), "{}", said(&refused));
    }
    assert_eq!(code(&place.run(&["verify", "--schema", &both, "--sink=none"])), exit(Exit::Done), "it is as it was");
    // Nothing has run here yet, so there is no copy to compare: that is not proof of all that is configured.
    let unproven = place.run(&["verify", "--schema", &both]);
    assert_eq!(code(&unproven), exit(Exit::Behind), "{}", said(&unproven));
    assert!(said(&unproven).contains("embedded: not compared"), "{}", said(&unproven));
}

#[test]
fn what_cannot_be_used_is_told_before_anything_happens() {
    let place = Place::new();
    let schema = fixture("");
    for (arguments, told) in [
        (vec!["up"], "no ApiSchema file is named"),
        (vec!["up", "--schema", "/nowhere.json"], "/nowhere.json"),
        (vec!["up", "--schema", schema.as_str(), "--api-listen", "0.0.0.0:80"], "loopback only"),
        (vec!["up", "--no-such-flag"], "--no-such-flag"),
        (vec!["load", "x", "--url", "ftp://host"], "--url"),
    ] {
        let output = place.run(&arguments);
        assert_eq!(code(&output), exit(Exit::Usage), "{arguments:?}: {}", said(&output));
        assert!(said(&output).contains(told), "{arguments:?}: {}", said(&output));
    }
    assert!(!place.data_dir().exists(), "nothing was made");
}

#[test]
fn schema_check_and_ddl_emit_need_no_database() {
    let place = Place::new();
    let schema = fixture("");
    let check = place.run(&["schema", "check", "--schema", &schema]);
    assert_eq!(code(&check), exit(Exit::Done), "{}", said(&check));
    assert!(said(&check).contains("core       Meadow"), "{}", said(&check));
    let (one, other) =
        (place.run(&["ddl", "emit", "--schema", &schema]), place.run(&["ddl", "emit", "--schema", &schema]));
    assert_eq!(code(&one), exit(Exit::Done), "{}", said(&one));
    assert!(one.stdout == other.stdout && said(&one).contains("CREATE TABLE"), "the same bytes each time");
    assert!(!place.data_dir().exists(), "nothing was made");
}

#[test]
fn a_terminal_that_closes_stops_it_in_order_unless_it_was_told_to_outlive_it() {
    let place = Place::new();
    assert_eq!(place.up().stop_by(Signal::SIGHUP), exit(Exit::Done));
    assert_eq!(code(&place.run(&["status"])), exit(Exit::NotRunning));

    let mut nohup = Command::new("nohup");
    let up = place.command(&["up", "--api-listen", "127.0.0.1:0", "--schema", &fixture("")]);
    nohup.arg(up.get_program()).args(up.get_args()).stdin(Stdio::null()).current_dir(place.folder.path());
    let up = place.start(nohup);
    up.signal(Signal::SIGHUP);
    assert_eq!(code(&place.run(&["status"])), exit(Exit::Done), "it still runs");
    assert_eq!(up.stop(), exit(Exit::Done));
}

#[test]
fn a_database_that_cannot_be_reached_is_named_without_its_password() {
    let place = Place::new();
    let url = "postgres://clerk:secret-word@127.0.0.1:1/records";
    let verified = place.run(&["verify", "--schema", &fixture(""), "--database-url", url]);
    assert_eq!(code(&verified), exit(Exit::Failed));
    let told = said(&verified);
    assert!(told.contains("cannot connect to clerk@127.0.0.1:1/records") && !told.contains("secret-word"), "{told}");
}

#[test]
fn a_variable_of_ours_that_is_no_text_is_refused() {
    let place = Place::new();
    let mut command = place.command(&["config", "show"]);
    let shown =
        command.env("MILLSTREAM_QUEUE_DIR", OsStr::from_bytes(b"queue-\xff")).output().expect("it can be started");
    assert_eq!(code(&shown), exit(Exit::Usage), "{}", said(&shown));
    assert!(said(&shown).contains("MILLSTREAM_QUEUE_DIR is not UTF-8"), "{}", said(&shown));
}
