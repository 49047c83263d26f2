//! Many large documents, rebuilt in one batch and read in one page, with little memory.

use crate::installation::Installation;
use crate::support::district::student;
use nix::sys::signal::Signal;
use serde_json::json;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Number of large documents.
const DOCUMENTS: usize = 24;
/// Elements of the collection of each, which make a body of nearly 4 MiB.
const ELEMENTS: usize = 36_000;
/// Pages of the large documents that are read at a time.
const READERS: usize = 4;
/// Memory of the process, like the limit of a container.
const LIMIT_MIB: u64 = 1_024;
/// Limit for all documents to be cached again.
const REBUILD: Duration = Duration::from_secs(240);
const LOOK: Duration = Duration::from_millis(50);

/// Posts the documents, replays them and reads pages of them. The process is killed when it has too much memory, as the
/// kernel would do it.
pub(super) async fn exhaust(installation: &mut Installation) -> Vec<String> {
    let http = installation.api().http.limited(Duration::from_secs(100), false);
    for number in 0..DOCUMENTS {
        let mut body = student(&format!("large-{number}"), "Large");
        body["otherNames"] =
            (0..ELEMENTS).map(|element| json!({"otherName": format!("{element:06} {}", "n".repeat(68))})).collect();
        let reply = http.post("meadow/students", body.to_string()).await;
        assert!(reply.is_success(), "{} {}", reply.status, String::from_utf8_lossy(&reply.body));
    }
    let stop = CancellationToken::new();
    let pid = installation.api().pid();
    let working = async {
        let (code, text) = installation.command(&["rebuild", "cache"]).await;
        let mut found = Vec::new();
        if code != Some(0) {
            found.push(format!("rebuild cache: {text}"));
        }
        // A page may have to wait for memory for longer than a request may take.
        let read = async |_| loop {
            match http.try_get("meadow/students?limit=500&firstName=Large").await {
                Ok(page) if page.status == 503 => tokio::time::sleep(LOOK).await,
                page => break page,
            }
        };
        let pages = futures::future::join_all((0..READERS).map(read));
        let verifying = installation.command(&["verify", "--wait-s=200"]);
        let both = async { tokio::join!(pages, verifying) };
        match tokio::time::timeout(REBUILD, both).await {
            Ok((pages, _)) => {
                let failed = pages.iter().filter(|page| !page.as_ref().is_ok_and(|page| page.status == 200)).count();
                found.extend((failed > 0).then(|| format!("{failed} of {READERS} pages of large documents failed")));
            }
            Err(_) => found.push(format!("pages of large documents were not read within {REBUILD:?}")),
        }
        stop.cancel();
        found
    };
    let watching = async {
        let mut peak_mib = 0;
        while !stop.is_cancelled() {
            peak_mib = peak_mib.max(memory_mib(pid).unwrap_or_default());
            if peak_mib > LIMIT_MIB {
                installation.api().signal(Signal::SIGKILL);
                stop.cancel();
            }
            tokio::time::sleep(LOOK).await;
        }
        peak_mib
    };
    let (mut found, peak_mib, ()) = tokio::join!(working, watching, installation.traffic.read(&stop));
    crate::support::report!("memory: at most {peak_mib} MiB with {DOCUMENTS} documents of 3.5 MiB");
    if peak_mib > LIMIT_MIB {
        found.push(format!("the process took more than {LIMIT_MIB} MiB and was killed"));
    }
    found
}

/// Returns the resident memory of a process.
fn memory_mib(pid: nix::unistd::Pid) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kib / 1_024)
}
