//! Command lines of `load` and `demo`.

use clap::{Args, ValueEnum};
use std::path::PathBuf;

/// Arguments of `load`.
#[derive(Debug, Clone, Args)]
pub struct LoadArguments {
    /// JSON Lines files, plain or gzip, `-` for standard input: a line is {"resource", "project", "body"}.
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Address of the API, such as http://127.0.0.1:8080; by default that of the Millstream of this data folder.
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// Requests in flight.
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub connections: u16,
    /// Seconds to wait for a final answer to a line while the server is unreachable, busy or failing.
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    pub patience_s: u64,
    /// Write every refused line with its response to this file, as JSON Lines.
    #[arg(long, value_name = "FILE")]
    pub refused: Option<PathBuf>,
    /// Style of the progress report.
    #[arg(long, value_enum, default_value_t = ProgressStyle::Auto)]
    pub progress: ProgressStyle,
}

/// The style of the progress report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ProgressStyle {
    /// A bar on a terminal, lines elsewhere.
    Auto,
    /// A line every few seconds.
    Lines,
    /// None.
    None,
}

/// Arguments of `demo`.
#[derive(Debug, Clone, Args)]
pub struct DemoArguments {
    /// Folder with apischema/ and ds-5.2/; by default MILLSTREAM_CORPUS, ../shared/corpus, or the small built-in schema.
    #[arg(long, value_name = "DIR")]
    pub corpus: Option<PathBuf>,
    /// Load at most this many documents of each file.
    #[arg(long, value_name = "N")]
    pub documents_max: Option<usize>,
}
