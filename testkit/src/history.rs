//! Servers that forget: an earlier data directory put back in place, and a standby that is promoted without the end of the
//! primary's log.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use millstream_store::cluster::ManagedCluster;
use millstream_store::connect::Session;

use crate::cluster::{TestCluster, temporary_directory, watch};
use crate::command::run;
use crate::wait::wait_until;

/// Time limit for a standby to have what its primary has written.
const CATCH_UP_DEADLINE: Duration = Duration::from_secs(60);

/// A copy of a data directory. It is removed with the directory of its cluster.
#[derive(Debug)]
pub struct DataCopy(PathBuf);

impl TestCluster {
    /// Stops the server cleanly, copies its data directory, and starts it again: a snapshot of its volume.
    pub async fn copy_data(&mut self) -> DataCopy {
        let copy = self.directory().join("data.copy");
        self.stop().await;
        if copy.exists() {
            fs::remove_dir_all(&copy).expect("the earlier copy can be removed");
        }
        run(Command::new("cp").arg("-a").arg(self.data()).arg(&copy));
        self.start_again().await;
        DataCopy(copy)
    }

    /// Kills the server, puts a copy of its data directory back in place, and starts it on the same port: the same system
    /// identifier and timeline, and an earlier end of the log.
    pub async fn put_back(&mut self, copy: &DataCopy) {
        self.crash().await;
        fs::remove_dir_all(self.data()).expect("the data directory can be removed");
        run(Command::new("cp").arg("-a").arg(&copy.0).arg(self.data()));
        self.start_again().await;
    }

    /// Starts an asynchronous standby of this server on a port of its own.
    pub async fn standby(&self) -> Self {
        let primary = self.connect_options("postgres");
        let directory = temporary_directory();
        let watchdog = watch(&directory);
        let data = directory.join("data");
        let password = String::from_utf8_lossy(primary.password().unwrap_or_default()).into_owned();
        let (host, port) = (primary.host().to_string(), primary.port().to_string());
        run(Command::new("pg_basebackup")
            .args(["-h", &host, "-p", &port, "-U", primary.user(), "-X", "stream", "-c", "fast", "-R", "-D"])
            .arg(&data)
            .env("PGPASSWORD", &password));
        // The server's account has to own its data.
        run(Command::new("chown").arg("-R").arg(format!("--reference={}", self.data().display())).arg(&data));
        run(Command::new("cp").arg("-a").arg(self.directory().join("password")).arg(&directory));
        let options = self.options.clone();
        let managed = ManagedCluster::start(&directory, options.clone()).await;
        let managed = managed.unwrap_or_else(|error| panic!("the standby did not start: {error}"));
        Self { managed: Some(managed), options, directory, _watchdog: watchdog }
    }

    /// Waits until this standby receives the primary's log.
    pub async fn wait_streaming(&self) {
        let standby = self.admin().await;
        let streams = "SELECT EXISTS (SELECT FROM pg_stat_wal_receiver WHERE status = 'streaming')::text";
        wait_until("the standby to stream", CATCH_UP_DEADLINE, || async { text(&standby, streams).await == "true" })
            .await;
    }

    /// Waits until this standby has all that the primary has written, then disconnects it: it misses what follows.
    pub async fn fall_behind(&self, primary: &Self) {
        let (standby, primary) = (self.admin().await, primary.admin().await);
        let end: String = text(&primary, "SELECT pg_current_wal_lsn()::text").await;
        let has_all = format!("SELECT (pg_last_wal_replay_lsn() >= '{end}'::pg_lsn)::text");
        wait_until("the standby to catch up", CATCH_UP_DEADLINE, || async { text(&standby, &has_all).await == "true" })
            .await;
        standby.batch_execute("ALTER SYSTEM SET primary_conninfo = ''").await.expect("the setting can be changed");
        standby.batch_execute("SELECT pg_reload_conf()").await.expect("the settings can be read again");
        let receivers = "SELECT count(*)::text FROM pg_stat_wal_receiver";
        wait_until("the standby to be disconnected", CATCH_UP_DEADLINE, || async {
            text(&standby, receivers).await == "0"
        })
        .await;
    }

    /// Promotes this standby.
    pub async fn promote(&self) {
        assert_eq!(text(&self.admin().await, "SELECT pg_promote(true, 60)::text").await, "true", "not promoted");
    }

    fn data(&self) -> PathBuf {
        self.directory().join("data")
    }
}

async fn text(session: &Session, sql: &str) -> String {
    session.query_one(sql, &[]).await.unwrap_or_else(|error| panic!("{sql}: {error:?}")).get(0)
}
