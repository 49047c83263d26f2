//! Compares Millstream with the physical limit of each job in one run (`make bench`).
//!
//! Starts a private, durable PostgreSQL cluster and the release binary `millstream up`, runs each job in rounds that
//! alternate with its limit, and prints medians and ratios as plain tables. Nothing is asserted.
//!
//! `bench [--rounds N] [--documents N]` sets the rounds of each comparison (default 5, preferably odd) and the documents
//! of an ingest round (default 4,000). `bench write` compares writes with and without batching (`make bench-write`, see
//! [`mod@write`]). `bench sinks` measures the copies outside the database (`make bench-sinks`, see [`sinks`]). The corpus is used where it is available, otherwise the fixtures of the repository.
#![allow(clippy::print_stdout, clippy::print_stderr)] // tables go to standard output, progress to standard error

mod connection;
mod copy;
mod failure;
mod ingest;
mod lag;
mod process;
mod reads;
mod rebuild;
mod setup;
mod sinks;
mod startup;
mod table;
mod write;

use setup::Setup;
use std::process::ExitCode;

fn argument(name: &str, default: usize) -> usize {
    let mut arguments = std::env::args().skip_while(|argument| argument != name).skip(1);
    arguments.next().and_then(|value| value.parse().ok()).unwrap_or(default)
}

#[tokio::main]
async fn main() -> ExitCode {
    let job = std::env::args().nth(1).unwrap_or_default();
    let outcome = if job == "serve" {
        write::serve(std::env::args().nth(2).is_some_and(|batching| batching == "on")).await
    } else if job == "write" {
        write::run(&write_options()).await
    } else if job == "sinks" {
        let (rounds, documents) = (argument("--rounds", 5), argument("--documents", 20_000));
        let small = std::env::args().any(|argument| argument == "--small");
        let rates_only = std::env::args().any(|argument| argument == "--rates");
        sinks::run(&sinks::Options { rounds, documents, small, rates_only }).await
    } else {
        run().await
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let chain = std::iter::successors(Some(&*error as &dyn std::error::Error), |error| error.source());
            println!("bench: {}", chain.map(ToString::to_string).collect::<Vec<_>>().join(": "));
            ExitCode::FAILURE
        }
    }
}

fn write_options() -> write::WriteOptions {
    let list = |name: &str, all: &[&str]| -> Vec<String> {
        let given = std::env::args().skip_while(|argument| argument != name).nth(1);
        let given = given.map(|list| list.split(',').map(str::to_owned).collect());
        given.unwrap_or_else(|| all.iter().map(|word| (*word).to_owned()).collect())
    };
    let part = |name: &String| if name == "whole" { write::Part::Whole } else { write::Part::Writer };
    write::WriteOptions {
        rounds: argument("--rounds", 5),
        documents: argument("--documents", 20_000),
        connections: list("--connections", &["1", "8", "32", "128"]).iter().filter_map(|n| n.parse().ok()).collect(),
        parts: list("--parts", &["writer", "whole"]).iter().map(part).collect(),
        statements: std::env::args().any(|argument| argument == "--statements"),
        batching: list("--batching", &["off", "on"]).iter().map(|word| word == "on").collect(),
    }
}

async fn run() -> Result<(), failure::Failure> {
    let (rounds, documents) = (argument("--rounds", 5), argument("--documents", 4_000));
    let setup = Setup::create(false).await?;
    println!("{} · {} base documents · {rounds} rounds · medians", setup.describe(), setup.base_documents);
    ingest::measure(&setup, rounds, documents).await?;
    rebuild::measure(&setup, rounds).await?;
    let world = setup.copy("lag").await?;
    startup::measure(&setup, &world, rounds).await?;
    let up = process::Process::start(&setup.launch(&world)?).await?;
    let at_rest = up.resident_mib()?;
    reads::measure(&setup, &up, &world, rounds).await?;
    lag::measure(&setup, &up, &world).await?;
    table::print(
        "resident memory of `millstream up`, PostgreSQL not counted",
        &["at rest, MiB", "after load and reads, MiB"],
        &[vec![format!("{at_rest:.0}"), format!("{:.0}", up.resident_mib()?)]],
    );
    up.stop().await
}
