//! The binary from the outside: `up`, `load`, `status`, `verify` and stop on a managed cluster, with exit codes.

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

/// Limit of a start or a stop.
const TIMEOUT: Duration = Duration::from_secs(90);

/// A data folder that the operating-system account of PostgreSQL may enter, and commands that use it.
struct Installation {
    folder: tempfile::TempDir,
    _watchdog: Child,
}

impl Installation {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::set_permissions(folder.path(), Permissions::from_mode(0o711)).expect("its permissions can be changed");
        let watchdog = millstream_testkit::cluster::watch(folder.path());
        Self { folder, _watchdog: watchdog }
    }

    fn data_dir(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Asserts that other users reach neither documents nor the control socket. The account of PostgreSQL passes through the
    /// data folder.
    fn assert_private(&self) {
        let mode = |name: &str| {
            let path = self.data_dir().join(name);
            let data = fs::metadata(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            data.permissions().mode() & 0o777
        };
        for folder in ["queue", "search", "run"] {
            assert_eq!(mode(folder), 0o700, "{folder}");
        }
        assert_eq!(mode("run/millstream.sock"), 0o600);
        let is_root = nix::unistd::geteuid().is_root();
        assert_eq!(mode(""), if is_root { 0o711 } else { 0o700 });
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_millstream"));
        command.arg("--data-dir").arg(self.data_dir()).args(arguments).stdin(Stdio::null());
        command.current_dir(self.folder.path());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("the millstream binary starts")
    }

    fn up(&self) -> Process {
        self.start(self.command(&["up", "--api-listen", "127.0.0.1:0", "--schema", &fixture("")]))
    }

    /// Starts a command that runs `up` and waits until it reports ready.
    fn start(&self, mut command: Command) -> Process {
        let mut child =
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the millstream binary starts");
        let stdout = child.stdout.take().expect("stdout is piped");
        let (sender, line) = mpsc::channel();
        std::thread::spawn(move || sender.send(BufReader::new(stdout).lines().next()));
        let stderr = child.stderr.take().expect("stderr is piped");
        let log = std::thread::spawn(move || std::io::read_to_string(stderr).unwrap_or_default());
        let ready = line.recv_timeout(TIMEOUT).ok().flatten().and_then(Result::ok);
        let mut up = Process { child, log: Some(log) };
        match ready {
            Some(line) if line.contains("http://127.0.0.1:") => up,
            other => panic!("expected the ready line, got {other:?}; log: {}", up.kill()),
        }
    }
}

/// A running process; dropping it kills the process.
struct Process {
    child: Child,
    log: Option<std::thread::JoinHandle<String>>,
}

impl Process {
    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().cast_signed()), signal).expect("the process can be signalled");
    }

    /// Sends SIGTERM; returns the exit code.
    fn stop(self) -> Option<i32> {
        self.stop_by(Signal::SIGTERM)
    }

    /// Sends a signal that ends the process; returns the exit code.
    fn stop_by(mut self, signal: Signal) -> Option<i32> {
        self.signal(signal);
        let deadline = Instant::now() + TIMEOUT;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait().expect("the exit status is available") {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("the process did not stop: {}", self.kill())
    }

    /// Sends SIGKILL and waits until the process is gone; returns its log.
    fn kill(&mut self) -> String {
        self.signal(Signal::SIGKILL);
        self.child.wait().expect("the exit status is available");
        self.log.take().map(|log| log.join().expect("the log can be read")).unwrap_or_default()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.kill();
        }
    }
}

fn fixture(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../schema/fixtures").join(name);
    path.canonicalize().expect("the fixture exists").display().to_string()
}

fn code(output: &Output) -> Option<i32> {
    output.status.code()
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn exit(exit: Exit) -> Option<i32> {
    Some(exit.code().into())
}

#[test]
fn up_load_verify_stop_and_again_after_a_kill() {
    let place = Installation::new();
    let schema = fixture("");
    assert_eq!(code(&place.run(&["status"])), exit(Exit::NotRunning));

    let up = place.up();
    let loaded = place.run(&["load", &fixture("documents.jsonl"), "--progress", "none"]);
    assert_eq!(code(&loaded), exit(Exit::Done), "{}", text(&loaded));
    assert!(text(&loaded).contains("223 created, 0 there already, 0 refused"), "{}", text(&loaded));
    let verified = place.run(&["verify", "--schema", &schema]);
    assert_eq!(code(&verified), exit(Exit::Done), "{}", text(&verified));
    assert_eq!(text(&verified).lines().last(), Some("differences: 0"));

    place.assert_private();
    let second = place.run(&["up", "--schema", &schema, "--api-listen", "127.0.0.1:0"]);
    assert_eq!(code(&second), exit(Exit::Failed), "{}", text(&second));
    assert!(text(&second).contains("runs on"), "{}", text(&second));

    assert_eq!(up.stop(), Some(0), "a stop is not a failure");
    assert_eq!(code(&place.run(&["load", &fixture("documents.jsonl")])), exit(Exit::NotRunning));
    let alone = place.run(&["verify", "--schema", &schema, "--json"]);
    assert_eq!(code(&alone), exit(Exit::Done), "verify starts the cluster: {}", text(&alone));
    let report: Value = serde_json::from_slice(&alone.stdout).expect("the output is JSON");
    assert_eq!((&report["documents"], &report["differences"], &report["behind"]), (&223.into(), &0.into(), &0.into()));

    let mut killed = place.up();
    killed.kill();
    let up = place.up();
    let status = place.run(&["status", "--json"]);
    let status: Value = serde_json::from_slice(&status.stdout).expect("the output is JSON");
    assert_eq!(status["state"], "running", "{status:#}");
    assert_eq!(status["database"]["managed"], true, "{status:#}");
    let again = place.run(&["load", &fixture("documents.jsonl"), "--progress", "none"]);
    assert!(text(&again).contains("0 created, 223 there already, 0 refused"), "{}", text(&again));
    assert_eq!(code(&place.run(&["verify", "--schema", &schema])), exit(Exit::Done));
    assert_eq!(up.stop(), Some(0));
}

#[test]
fn a_database_of_another_schema_is_refused_and_left_alone() {
    let place = Installation::new();
    let (core, both) = (fixture("meadow.ApiSchema.json"), fixture(""));
    let applied = place.run(&["ddl", "apply", "--schema", &both]);
    assert_eq!(code(&applied), exit(Exit::Done), "{}", text(&applied));
    let again = place.run(&["ddl", "apply", "--schema", &both]);
    assert!(code(&again) == exit(Exit::Done) && text(&again).contains("already"), "{}", text(&again));
    for refused in [
        place.run(&["up", "--schema", &core, "--api-listen", "127.0.0.1:0"]),
        place.run(&["ddl", "apply", "--schema", &core]),
        place.run(&["verify", "--schema", &core]),
    ] {
        assert_eq!(code(&refused), exit(Exit::Failed), "{}", text(&refused));
        assert!(text(&refused).contains("effective schema"), "{}", text(&refused));
    }
    assert_eq!(
        code(&place.run(&["verify", "--schema", &both, "--sink=none"])),
        exit(Exit::Done),
        "the database is unchanged"
    );
    // No process has run yet, so the configured sink has no copy to compare.
    let unproven = place.run(&["verify", "--schema", &both]);
    assert_eq!(code(&unproven), exit(Exit::Behind), "{}", text(&unproven));
    assert!(text(&unproven).contains("embedded: not compared"), "{}", text(&unproven));
}

#[test]
fn invalid_input_is_reported_before_anything_happens() {
    let place = Installation::new();
    let schema = fixture("");
    for (arguments, message) in [
        (vec!["up"], "no ApiSchema file is named"),
        (vec!["up", "--schema", "/nowhere.json"], "/nowhere.json"),
        (vec!["up", "--schema", schema.as_str(), "--api-listen", "0.0.0.0:80"], "loopback only"),
        (vec!["up", "--no-such-flag"], "--no-such-flag"),
        (vec!["load", "x", "--url", "ftp://host"], "--url"),
    ] {
        let output = place.run(&arguments);
        assert_eq!(code(&output), exit(Exit::Usage), "{arguments:?}: {}", text(&output));
        assert!(text(&output).contains(message), "{arguments:?}: {}", text(&output));
    }
    assert!(!place.data_dir().exists(), "nothing was created");
}

#[test]
fn schema_check_and_ddl_emit_need_no_database() {
    let place = Installation::new();
    let schema = fixture("");
    let check = place.run(&["schema", "check", "--schema", &schema]);
    assert_eq!(code(&check), exit(Exit::Done), "{}", text(&check));
    assert!(text(&check).contains("core       Meadow"), "{}", text(&check));
    let (one, other) =
        (place.run(&["ddl", "emit", "--schema", &schema]), place.run(&["ddl", "emit", "--schema", &schema]));
    assert_eq!(code(&one), exit(Exit::Done), "{}", text(&one));
    assert!(one.stdout == other.stdout && text(&one).contains("CREATE TABLE"), "the output is deterministic");
    assert!(!place.data_dir().exists(), "nothing was created");
}

#[test]
fn a_terminal_that_closes_stops_it_in_order_unless_it_runs_under_nohup() {
    let place = Installation::new();
    assert_eq!(place.up().stop_by(Signal::SIGHUP), exit(Exit::Done));
    assert_eq!(code(&place.run(&["status"])), exit(Exit::NotRunning));

    let mut nohup = Command::new("nohup");
    let up = place.command(&["up", "--api-listen", "127.0.0.1:0", "--schema", &fixture("")]);
    nohup.arg(up.get_program()).args(up.get_args()).stdin(Stdio::null()).current_dir(place.folder.path());
    let up = place.start(nohup);
    up.signal(Signal::SIGHUP);
    assert_eq!(code(&place.run(&["status"])), exit(Exit::Done), "the process still runs");
    assert_eq!(up.stop(), exit(Exit::Done));
}

#[test]
fn a_database_that_cannot_be_reached_is_named_without_its_password() {
    let place = Installation::new();
    let url = "postgres://clerk:secret-word@127.0.0.1:1/records";
    let verified = place.run(&["verify", "--schema", &fixture(""), "--database-url", url]);
    assert_eq!(code(&verified), exit(Exit::Failed));
    let output = text(&verified);
    assert!(output.contains("cannot connect to clerk@127.0.0.1:1/records"), "{output}");
    assert!(!output.contains("secret-word"), "{output}");
}

#[test]
fn a_variable_of_ours_that_is_not_utf_8_is_refused() {
    let place = Installation::new();
    let mut command = place.command(&["config", "show"]);
    let shown = command
        .env("MILLSTREAM_QUEUE_DIR", OsStr::from_bytes(b"queue-\xff"))
        .output()
        .expect("the millstream binary starts");
    assert_eq!(code(&shown), exit(Exit::Usage), "{}", text(&shown));
    assert!(text(&shown).contains("MILLSTREAM_QUEUE_DIR is not UTF-8"), "{}", text(&shown));
}
