//! Maps what a command came to onto the exit code of the process, and chooses the allocator. Everything else is in the
//! library.

/// A process that lives for months gives back what a peak took; glibc's arenas keep it.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> std::process::ExitCode {
    millstream_cli::run(std::env::args_os()).into()
}
