//! Maps what a command came to onto the exit code of the process. Everything else is in the library.

fn main() -> std::process::ExitCode {
    millstream_cli::run(std::env::args_os()).into()
}
