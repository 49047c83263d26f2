//! Command lines of `verify` and `incidents`.

use clap::{Args, Subcommand};
use uuid::Uuid;

/// Arguments of `verify`. Without a selection it verifies all documents.
#[derive(Debug, Clone, Args)]
#[command(group = clap::ArgGroup::new("documents").args(["document", "resource", "sample"]))]
pub struct VerifyArguments {
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
    /// Longest wait for a running Millstream to finish its queue and cascades.
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    pub wait_s: u64,
    /// Compare only this sink with the cache; `none` for no sink. By default all sinks that are delivered to.
    #[arg(long, value_name = "NAME")]
    pub sink: Option<String>,
    /// Only this document; may be repeated.
    #[arg(long, value_name = "ID")]
    pub document: Vec<Uuid>,
    /// Only documents of one type, named as in the URL: ed-fi/students.
    #[arg(long, value_name = "TYPE")]
    pub resource: Option<String>,
    /// Only so many documents, drawn at random.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub sample: Option<u32>,
    /// Repair the derived rows of the documents that differ, rebuild and redeliver their bodies, and verify them again.
    #[arg(long)]
    pub repair: bool,
    /// Only say what a repair would do, document by document.
    #[arg(long, requires = "repair")]
    pub dry_run: bool,
}

/// Actions of `incidents`.
#[derive(Debug, Subcommand)]
pub enum IncidentsAction {
    /// List incidents, oldest first.
    List {
        /// Only those that are not mended.
        #[arg(long)]
        open: bool,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show one incident with its likely causes.
    Show {
        /// Its number.
        number: u64,
    },
}
