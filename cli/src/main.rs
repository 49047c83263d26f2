//! The entry point: exit code and allocator. Everything else is in the library.

/// Returns memory to the system after a peak; glibc's arenas keep it, which matters in a process that runs for months.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> std::process::ExitCode {
    millstream_cli::run(std::env::args_os()).into()
}
