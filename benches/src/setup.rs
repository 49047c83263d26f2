//! The cluster, the template database with the base documents, and its copies.

use crate::failure::Failure;
use crate::process::Launch;
use futures::stream::{self, StreamExt};
use millstream_store::connect::{ConnectOptions, Database, Session};
use millstream_testkit::corpus::{self, Document};
use millstream_testkit::{TestCluster, World};
use millstream_writer::{Preconditions, Writer, WriterOptions};
use std::path::PathBuf;

/// Concurrent writes while the template is filled.
const FILL_WIDTH: usize = 16;
const TEMPLATE: &str = "bench_template";

/// The cluster with its template, and the documents to ingest.
pub(crate) struct Setup {
    pub(crate) cluster: TestCluster,
    pub(crate) world: &'static World,
    pub(crate) base_documents: usize,
    /// Documents after the base, in dependency order.
    pub(crate) more: Vec<Document>,
    pub(crate) folder: tempfile::TempDir,
}

impl Setup {
    /// Starts the cluster and fills the template. With `statements` the cluster has pg_stat_statements.
    pub(crate) async fn create(statements: bool) -> Result<Self, Failure> {
        let mut options = TestCluster::durable_options();
        for (name, value) in [("shared_buffers", "1GB"), ("max_wal_size", "8GB"), ("checkpoint_timeout", "30min")] {
            options.settings.insert(name.to_owned(), value.to_owned());
        }
        if statements {
            options.settings.insert("shared_preload_libraries".to_owned(), "pg_stat_statements".to_owned());
            options.settings.insert("pg_stat_statements.track_planning".to_owned(), "on".to_owned());
        }
        // Experiments: MILLSTREAM_BENCH_POSTGRES="name=value,name=value".
        for setting in std::env::var("MILLSTREAM_BENCH_POSTGRES").unwrap_or_default().split(',') {
            if let Some((name, value)) = setting.split_once('=') {
                options.settings.insert(name.to_owned(), value.to_owned());
            }
        }
        let cluster = TestCluster::start(options).await;
        let (world, base, more) = match World::corpus() {
            Some(world) => {
                let base = world.corpus.documents()?.collect::<Result<Vec<_>, _>>()?;
                (world, base, world.corpus.volume()?.collect::<Result<Vec<_>, _>>()?)
            }
            None => {
                let world = World::fixtures();
                let all = world
                    .corpus
                    .document_paths()
                    .iter()
                    .map(|path| corpus::read(path))
                    .collect::<Result<Vec<_>, _>>()?;
                let mut base = all.into_iter().flatten().collect::<Result<Vec<_>, _>>()?;
                let more = base.split_off(base.len() / 2);
                (world, base, more)
            }
        };
        let setup = Self {
            cluster,
            world,
            base_documents: base.len(),
            more,
            folder: tempfile::Builder::new().prefix("millstream-bench").tempdir()?,
        };
        setup.fill(base).await?;
        Ok(setup)
    }

    pub(crate) fn describe(&self) -> &'static str {
        if self.world.mapping.resources.len() > 100 {
            "corpus: DS 5.2 + TPDM + Sample"
        } else {
            "fixtures of the repository"
        }
    }

    async fn fill(&self, base: Vec<Document>) -> Result<(), Failure> {
        self.admin().await?.batch_execute(&format!("CREATE DATABASE \"{TEMPLATE}\" TEMPLATE template0")).await?;
        let database = Database::connect(&self.options(TEMPLATE), FILL_WIDTH).await?;
        millstream_store::provision::apply(&database, &self.world.schema, &self.world.ddl).await?;
        let writer =
            Writer::new(database.clone(), std::sync::Arc::clone(&self.world.mapping), WriterOptions::default())?;
        let (mut rest, always) = (base.as_slice(), Preconditions::default());
        while let Some(first) = rest.first() {
            let (run, later) = rest.split_at(rest.iter().take_while(|d| d.resource == first.resource).count());
            let resource =
                self.world.mapping.route(&first.project, &first.resource).ok_or("a document of an unknown type")?;
            let mut failed = stream::iter(run)
                .map(|document| writer.post(resource, document.body(), &always))
                .buffered(FILL_WIDTH)
                .enumerate()
                .filter_map(|(at, answer)| async move { answer.is_err().then_some(at) })
                .collect::<Vec<_>>()
                .await;
            // Types that refer to themselves are in dependency order: repeat the documents that overtook their parent.
            failed.sort_unstable();
            for at in failed {
                writer.post(resource, run[at].body(), &always).await?;
            }
            rest = later;
        }
        drop(writer);
        let client = database.get().await?;
        client.batch_execute("VACUUM ANALYZE").await?;
        drop(client);
        database.close();
        Ok(())
    }

    /// Creates a copy of the template.
    pub(crate) async fn copy(&self, name: &str) -> Result<ConnectOptions, Failure> {
        let session = self.admin().await?;
        session.batch_execute(&format!("CREATE DATABASE \"{name}\" TEMPLATE \"{TEMPLATE}\"")).await?;
        session.batch_execute("CHECKPOINT").await?;
        Ok(self.options(name))
    }

    /// Returns the launch settings for a copy: a new data folder, otherwise the defaults.
    pub(crate) fn launch(&self, database: &ConnectOptions) -> Result<Launch, Failure> {
        let data = tempfile::Builder::new().prefix("data-").tempdir_in(self.folder.path())?;
        Ok(Launch {
            world: self.world,
            database: database.clone(),
            data_dir: data.keep(),
            log: self.folder.path().join("up.log"),
            settings: Vec::new(),
        })
    }

    /// Drops a copy and its slots.
    pub(crate) async fn remove(&self, name: &str) -> Result<(), Failure> {
        let session = self.admin().await?;
        millstream_testkit::slots::drop_all(&session, name).await;
        session.batch_execute(&format!("DROP DATABASE \"{name}\" WITH (FORCE)")).await?;
        Ok(())
    }

    fn options(&self, name: &str) -> ConnectOptions {
        self.cluster.connect_options(name)
    }

    async fn admin(&self) -> Result<Session, Failure> {
        Ok(Session::open(&self.cluster.connect_options("postgres")).await?)
    }

    /// Writes the first `count` documents after the base to a JSON Lines file; returns its path and number of documents.
    pub(crate) fn write_more(&self, count: usize) -> Result<(PathBuf, usize), Failure> {
        let path = self.folder.path().join(format!("more-{count}.jsonl"));
        let documents = &self.more[..count.min(self.more.len())];
        let mut text = Vec::new();
        for document in documents {
            let head = serde_json::json!({"project": document.project, "resource": document.resource}).to_string();
            text.extend_from_slice(head.trim_end_matches('}').as_bytes());
            text.extend_from_slice(b",\"body\":");
            text.extend_from_slice(document.body());
            text.extend_from_slice(b"}\n");
        }
        std::fs::write(&path, text)?;
        Ok((path, documents.len()))
    }
}
