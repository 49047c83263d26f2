//! Full disks: small file systems in memory, in the mount namespace that `scripts/chaos` makes.

use super::under_traffic;
use crate::installation::Installation;
use crate::support::random::Random;
use millstream_testkit::TestCluster;
use millstream_testkit::command::run;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Set by `scripts/chaos` in a mount namespace of its own, in which mounts end with the run.
const VARIABLE: &str = "MILLSTREAM_TEST_OWN_MOUNTS";
/// Numbers of the disks of an installation.
pub(super) const QUEUE: usize = 0;
pub(super) const INDEX: usize = 1;
const WAL: usize = 2;
/// How long a disk is full.
const FULL: Duration = Duration::from_secs(6);
const SIZE: &str = "size=512m";
const FILLER: &str = "filler";
const FILLER_CHUNK_BYTES: usize = 1 << 20;

/// A small file system.
#[derive(Debug)]
pub(crate) struct Disk(PathBuf);

pub(super) fn impossible() -> Option<String> {
    std::env::var_os(VARIABLE).is_none().then(|| "file systems cannot be mounted: run scripts/chaos as root".to_owned())
}

impl Disk {
    /// Mounts a disk for the queue, one for the index, and one for PostgreSQL's log, in the order of their numbers.
    pub(crate) async fn all(data_dir: &Path, cluster: &mut TestCluster) -> Vec<Self> {
        let (queue, index) = (data_dir.join("queue"), data_dir.join("search"));
        for folder in [&queue, &index] {
            fs::create_dir_all(folder).expect("a folder");
        }
        let wal = cluster.directory().join("data/pg_wal");
        cluster.stop().await;
        let aside = wal.with_extension("aside");
        run(Command::new("mv").arg(&wal).arg(&aside));
        fs::create_dir(&wal).expect("a folder");
        let disks = vec![Self::mount(queue), Self::mount(index), Self::mount(wal.clone())];
        run(Command::new("cp").arg("-a").arg(aside.join(".")).arg(&wal));
        run(Command::new("chown").arg(format!("--reference={}", aside.display())).arg(&wal));
        run(Command::new("chmod").arg("700").arg(&wal));
        cluster.start_again().await;
        disks
    }

    fn mount(folder: PathBuf) -> Self {
        run(Command::new("mount").args(["-t", "tmpfs", "-o", SIZE, "tmpfs"]).arg(&folder));
        Self(folder)
    }

    /// Takes all space that is left.
    fn fill(&self) {
        let mut file = File::create(self.0.join(FILLER)).expect("a file");
        let chunk = vec![7; FILLER_CHUNK_BYTES];
        while file.write_all(&chunk).is_ok() {}
    }

    fn free(&self) {
        fs::remove_file(self.0.join(FILLER)).expect("the file can be removed");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: a process may still have files open in it.
        drop(Command::new("umount").arg("-l").arg(&self.0).status());
    }
}

/// Fills a disk for a while.
pub(super) async fn fill(installation: &mut Installation, number: usize, random: &mut Random) {
    let disk = &installation.disks[number];
    let fault = async {
        disk.fill();
        tokio::time::sleep(FULL).await;
        disk.free();
    };
    under_traffic(&installation.traffic, random, fault).await;
}

/// Fills the disk of PostgreSQL's log, and starts the server again if it gave up.
pub(super) async fn fill_wal(installation: &mut Installation, random: &mut Random) {
    let Installation { traffic, cluster, disks, .. } = installation;
    let fault = async {
        disks[WAL].fill();
        let switching = async {
            // Segments that are there are reused: only a new one needs space.
            let options = crate::installation::direct(cluster);
            while let Ok(session) = millstream_store::connect::Session::open(&options).await {
                if session.batch_execute("SELECT pg_switch_wal()").await.is_err() {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        };
        drop(tokio::time::timeout(FULL, switching).await);
        tokio::time::sleep(FULL / 2).await;
        disks[WAL].free();
        cluster.crash().await;
        cluster.start_again().await;
    };
    under_traffic(traffic, random, fault).await;
}
