//! CPU seconds of processes, from /proc.

use crate::failure::Failure;

/// Ticks per second of the times in /proc, on every Linux.
const TICKS_PER_S: f64 = 100.0;

/// CPU time by process.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CpuTime {
    pub(crate) client: f64,
    pub(crate) server: f64,
    pub(crate) postgres: f64,
}

/// The fields of /proc/PID/stat from the state on.
fn stat(pid: &str) -> Result<Vec<String>, Failure> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, fields) = text.rsplit_once(')').ok_or("no process name in stat")?;
    Ok(fields.split_whitespace().map(str::to_owned).collect())
}

fn seconds(fields: &[String], at: std::ops::Range<usize>) -> Result<f64, Failure> {
    let mut sum = 0.0;
    for field in fields.get(at).ok_or("a short stat")? {
        sum += field.parse::<f64>()?;
    }
    Ok(sum / TICKS_PER_S)
}

/// User and system time of a process.
pub(crate) fn process_cpu(pid: u32) -> Result<f64, Failure> {
    seconds(&stat(&pid.to_string())?, 11..13)
}

/// The same of this process.
pub(crate) fn client_cpu() -> Result<f64, Failure> {
    process_cpu(std::process::id())
}

/// The same of a PostgreSQL server: the postmaster, its ended children, and those that run.
pub(crate) fn cluster_cpu(postmaster: u32) -> Result<f64, Failure> {
    let mut sum = seconds(&stat(&postmaster.to_string())?, 11..15)?;
    for entry in std::fs::read_dir("/proc")? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if !name.bytes().all(|byte| byte.is_ascii_digit()) {
            continue;
        }
        // A process may end meanwhile; its time is the postmaster's then.
        let Ok(fields) = stat(&name) else { continue };
        if fields.get(1).is_some_and(|parent| *parent == postmaster.to_string()) {
            sum += seconds(&fields, 11..13)?;
        }
    }
    Ok(sum)
}
