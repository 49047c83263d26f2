//! Command lines of `sink`, `index`, `quarantine`, `rebuild` and `replay`.

use super::load::ProgressStyle;
use clap::{Args, Subcommand};
use uuid::Uuid;

/// Actions of `sink`.
#[derive(Debug, Subcommand)]
pub enum SinkAction {
    /// `millstream sink NAME`: deliver to it from the shared queue, until SIGTERM or Ctrl-C.
    #[command(external_subcommand)]
    Run(Vec<String>),
    /// Deliver to one more sink, and fill it with all existing documents.
    Add {
        /// Name of the sink: kafka, opensearch or embedded.
        sink: String,
        /// Deliver only new changes.
        #[arg(long)]
        no_backfill: bool,
        /// Documents per second at most while filling it.
        #[arg(long, value_name = "N", conflicts_with = "no_backfill", value_parser = clap::value_parser!(u32).range(1..))]
        per_s: Option<u32>,
    },
    /// Stop delivering to a sink. Its content stays.
    Remove {
        /// Name of the sink.
        sink: String,
    },
    /// Pause deliveries. At most one entry per document waits.
    Pause {
        /// Name of the sink.
        sink: String,
    },
    /// Resume deliveries.
    Resume {
        /// Name of the sink.
        sink: String,
    },
    /// Deliver all existing documents again, while new changes continue.
    Backfill {
        /// Name of the sink.
        sink: String,
        /// Documents per second at most.
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
        per_s: Option<u32>,
    },
}

/// Actions of `index`. A generation is one complete content of the sink.
#[derive(Debug, Subcommand)]
pub enum IndexCommand {
    /// List all generations of a sink.
    List {
        /// Name of the sink: opensearch or embedded.
        sink: String,
    },
    /// Create the next generation and fill it beside the live one. It is kept current from the start.
    Build {
        /// Name of the sink.
        sink: String,
        /// Documents per second at most.
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
        per_s: Option<u32>,
    },
    /// Compare a generation with the source, document by document.
    Compare {
        /// Name of the sink.
        sink: String,
        /// Number of the generation; by default the newest.
        generation: Option<u32>,
    },
    /// Answer searches from a generation, at once and for all types, if a comparison finds no difference.
    Swap {
        /// Name of the sink.
        sink: String,
        /// Number of the generation; by default the newest.
        generation: Option<u32>,
        /// Skip the comparison.
        #[arg(long)]
        unchecked: bool,
    },
    /// Answer searches from the generation before the live one.
    Rollback {
        /// Name of the sink.
        sink: String,
    },
    /// Remove a generation that is not live.
    Drop {
        /// Name of the sink.
        sink: String,
        /// Number of the generation.
        generation: u32,
    },
}

/// The id of something in quarantine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QuarantinedId {
    /// A document, by its id.
    Document(Uuid),
    /// An unreadable record of the queue, by its `topic/partition/offset`.
    Record(String),
}

impl std::str::FromStr for QuarantinedId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.contains('/') { Ok(Self::Record(text.to_owned())) } else { text.parse().map(Self::Document) }
    }
}

/// Actions of `quarantine`. A place is `cache` or the name of a sink.
#[derive(Debug, Subcommand)]
pub enum QuarantineAction {
    /// List all of them, with reason, attempts and times, and the unreadable records of a shared queue.
    List {
        /// Only at this place: `cache`, or a sink.
        #[arg(long, value_name = "PLACE")]
        at: Option<String>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show one document with the error and the body to deliver, or the content of one record.
    Show {
        /// Id of a document, or `topic/partition/offset` of an unreadable record.
        #[arg(value_name = "ID")]
        what: QuarantinedId,
        /// Only at this place: `cache`, or a sink.
        #[arg(long, value_name = "PLACE")]
        at: Option<String>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Compare the copy of one document in the sink with the source.
    Diff {
        /// Id of the document.
        document: Uuid,
        /// Only at this place: `cache`, or a sink.
        #[arg(long, value_name = "PLACE")]
        at: Option<String>,
    },
    /// Retry documents.
    Retry {
        /// Ids of documents. An unreadable record cannot be retried.
        #[arg(required_unless_present = "all", value_name = "ID")]
        what: Vec<QuarantinedId>,
        /// Only at this place: `cache`, or a sink.
        #[arg(long, value_name = "PLACE")]
        at: Option<String>,
        /// Retry all of them.
        #[arg(long, conflicts_with = "what")]
        all: bool,
    },
    /// Discard the entries of documents, which stay as they are in the sink until they change; discard unreadable records.
    Skip {
        /// Ids of documents, or `topic/partition/offset` of records.
        #[arg(required = true, value_name = "ID")]
        what: Vec<QuarantinedId>,
        /// Only at this place: `cache`, or a sink.
        #[arg(long, value_name = "PLACE")]
        at: Option<String>,
    },
}

/// Actions of `rebuild`.
#[derive(Debug, Subcommand)]
pub enum RebuildAction {
    /// Remove and rebuild every cached body. Reads are answered from the tables meanwhile.
    Cache {
        /// Documents per second at most.
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
        per_s: Option<u32>,
        /// Return at once; `status` shows the progress.
        #[arg(long)]
        detach: bool,
        /// Style of the progress report.
        #[arg(long, value_enum, default_value_t = ProgressStyle::Auto)]
        progress: ProgressStyle,
    },
}

/// Arguments of `replay`. Without a selection it enqueues all documents.
#[derive(Debug, Clone, Args)]
#[command(group = clap::ArgGroup::new("selection").args(["outbox", "since", "resource", "document"]))]
pub struct ReplayArguments {
    /// `cache`, which rebuilds the bodies and delivers them to every sink, or the name of a sink.
    #[arg(long, value_name = "NAME", default_value = "cache")]
    pub to: String,
    /// Documents with change records in this range of outbox ids.
    #[arg(long, value_name = "FROM..TO")]
    pub outbox: Option<String>,
    /// Documents with change records since a time, or since a span like 2h before now.
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// The end of that period.
    #[arg(long, value_name = "TIME", requires = "since")]
    pub until: Option<String>,
    /// Documents of one type, named as in the URL: ed-fi/students.
    #[arg(long, value_name = "TYPE")]
    pub resource: Option<String>,
    /// One document.
    #[arg(long, value_name = "ID")]
    pub document: Option<Uuid>,
    /// Documents per second at most.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub per_s: Option<u32>,
    /// Only count the documents, by type.
    #[arg(long)]
    pub dry_run: bool,
    /// Return at once; `status` shows the progress.
    #[arg(long)]
    pub detach: bool,
    /// Cancel the running replay.
    #[arg(long, conflicts_with_all = ["selection", "dry_run", "detach"])]
    pub cancel: bool,
    /// Style of the progress report.
    #[arg(long, value_enum, default_value_t = ProgressStyle::Auto)]
    pub progress: ProgressStyle,
}
