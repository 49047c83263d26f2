//! Command lines about the copies of documents: sinks, indexes, quarantine, replay.

use super::ProgressStyle;
use clap::{Args, Subcommand};
use uuid::Uuid;

/// What `sink` does.
#[derive(Debug, Subcommand)]
pub enum SinkAction {
    /// `millstream sink NAME`: deliver to it from the shared queue, until SIGTERM or Ctrl-C.
    #[command(external_subcommand)]
    Run(Vec<String>),
    /// Deliver to one more sink, and fill it with all there is.
    Add {
        /// Which one: kafka, opensearch, embedded.
        sink: String,
        /// Deliver only what changes from now on.
        #[arg(long)]
        no_backfill: bool,
        /// Fill it with so many documents a second at most.
        #[arg(long, value_name = "N", conflicts_with = "no_backfill", value_parser = clap::value_parser!(u32).range(1..))]
        per_s: Option<u32>,
    },
    /// Deliver to it no more. What it holds stays.
    Remove {
        /// Which one.
        sink: String,
    },
    /// Hold deliveries back. At most one entry a document waits.
    Pause {
        /// Which one.
        sink: String,
    },
    /// Let them go again.
    Resume {
        /// Which one.
        sink: String,
    },
    /// Fill it again with all there is, beside what changes.
    Backfill {
        /// Which one.
        sink: String,
        /// So many documents a second at most.
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
        per_s: Option<u32>,
    },
}

/// What `index` does. A generation is one content of the sink.
#[derive(Debug, Subcommand)]
pub enum IndexCommand {
    /// All generations of a sink.
    List {
        /// Which sink: opensearch, embedded.
        sink: String,
    },
    /// Make the next generation and fill it, beside what is live. It is kept current from the start.
    Build {
        /// Which sink.
        sink: String,
        /// So many documents a second at most.
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
        per_s: Option<u32>,
    },
    /// Compare a generation with the source, document by document.
    Compare {
        /// Which sink.
        sink: String,
        /// Which one; the newest without.
        generation: Option<u32>,
    },
    /// Answer searches from a generation, at once and for all types. It is compared first.
    Swap {
        /// Which sink.
        sink: String,
        /// Which one; the newest without.
        generation: Option<u32>,
        /// Do not compare it first.
        #[arg(long)]
        unchecked: bool,
    },
    /// Answer searches from the generation before the live one again.
    Rollback {
        /// Which sink.
        sink: String,
    },
    /// Remove a generation that is not live.
    Drop {
        /// Which sink.
        sink: String,
        /// Which one.
        generation: u32,
    },
}

/// What can be in quarantine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Quarantined {
    /// A document, by its id.
    Document(Uuid),
    /// A record of the queue that nobody could read, by its `topic/partition/offset`.
    Record(String),
}

impl std::str::FromStr for Quarantined {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.contains('/') { Ok(Self::Record(text.to_owned())) } else { text.parse().map(Self::Document) }
    }
}

/// What `quarantine` does. Places are `cache` and the names of sinks.
#[derive(Debug, Subcommand)]
pub enum QuarantineAction {
    /// All of them, with reason, attempts and times; and the records of a shared queue that nobody could read.
    List {
        /// Only at this place.
        #[arg(long, value_name = "PLACE")]
        at: Option<String>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// One document: what the sink said, and what is sent to it. Or one record: what it holds.
    Show {
        /// The id of the document, or the `topic/partition/offset` of a record that nobody could read.
        #[arg(value_name = "ID")]
        what: Quarantined,
        /// Only at this place.
        #[arg(long, value_name = "PLACE")]
        at: Option<String>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// One document: what the sink has of it beside what the source says.
    Diff {
        /// Its id.
        document: Uuid,
        /// Only at this place.
        #[arg(long, value_name = "PLACE")]
        at: Option<String>,
    },
    /// Try again.
    Retry {
        /// Their ids. A record that nobody could read cannot be tried again.
        #[arg(required_unless_present = "all", value_name = "ID")]
        what: Vec<Quarantined>,
        /// Only at this place.
        #[arg(long, value_name = "PLACE")]
        at: Option<String>,
        /// All of them.
        #[arg(long, conflicts_with = "what")]
        all: bool,
    },
    /// Give up what is owed to them, until they change. Let go of records that nobody could read.
    Skip {
        /// The ids of documents, or the `topic/partition/offset` of records.
        #[arg(required = true, value_name = "ID")]
        what: Vec<Quarantined>,
        /// Only at this place.
        #[arg(long, value_name = "PLACE")]
        at: Option<String>,
    },
}

/// What `rebuild` does.
#[derive(Debug, Subcommand)]
pub enum RebuildAction {
    /// Remove every cached body and make it again. Reads are answered from the tables meanwhile.
    Cache {
        /// So many documents a second at most.
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
        per_s: Option<u32>,
        /// Return at once.
        #[arg(long)]
        detach: bool,
        /// How to show progress.
        #[arg(long, value_enum, default_value_t = ProgressStyle::Auto)]
        progress: ProgressStyle,
    },
}

/// Which documents `replay` owes, and to whom. Without a selection all of them.
#[derive(Debug, Clone, Args)]
#[command(group = clap::ArgGroup::new("selection").args(["outbox", "since", "resource", "document"]))]
pub struct ReplayArguments {
    /// `cache`, which makes the bodies again and delivers them to every sink, or a sink.
    #[arg(long, value_name = "NAME", default_value = "cache")]
    pub to: String,
    /// Those with change records in this range of the outbox.
    #[arg(long, value_name = "FROM..TO")]
    pub outbox: Option<String>,
    /// Those with change records since then: a time, or how long ago, like 2h.
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// And until then.
    #[arg(long, value_name = "TIME", requires = "since")]
    pub until: Option<String>,
    /// Those of one type, as in the URL: ed-fi/students.
    #[arg(long, value_name = "TYPE")]
    pub resource: Option<String>,
    /// This one.
    #[arg(long, value_name = "ID")]
    pub document: Option<Uuid>,
    /// So many documents a second at most.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub per_s: Option<u32>,
    /// Only count them, by type.
    #[arg(long)]
    pub dry_run: bool,
    /// Return at once; `status` says how far it is.
    #[arg(long)]
    pub detach: bool,
    /// End the replay that is under way.
    #[arg(long, conflicts_with_all = ["selection", "dry_run", "detach"])]
    pub cancel: bool,
    /// How to show progress.
    #[arg(long, value_enum, default_value_t = ProgressStyle::Auto)]
    pub progress: ProgressStyle,
}
