//! A database with all documents, loaded over HTTP while the projector runs; each test gets a copy.

use super::loading::{Accepted, load};
use super::report;
use super::running::Running;
use millstream_store::connect::Database;
use millstream_testkit::corpus::{Document, read};
use millstream_testkit::{TestDatabase, World};
use millstream_writer::WriterOptions;
use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex};

type AcceptedDocuments = Arc<Vec<Accepted>>;
/// Documents accepted while each template was loaded, by template name.
static ACCEPTED: LazyLock<Mutex<HashMap<&'static str, AcceptedDocuments>>> = LazyLock::new(Mutex::default);

/// Returns the documents of a world in dependency order. The volume part of the corpus is included only if
/// `MILLSTREAM_TEST_VOLUME` is set.
pub(crate) fn documents(world: &World) -> Vec<Document> {
    let is_corpus = world.corpus.root().join("ds-5.2").is_dir();
    let files = if is_corpus {
        let volume = std::env::var_os("MILLSTREAM_TEST_VOLUME").map(|_| world.corpus.volume());
        [Some(world.corpus.documents()), volume].into_iter().flatten().collect()
    } else {
        world.corpus.document_paths().iter().map(|path| read(path)).collect::<Vec<_>>()
    };
    let lines = files.into_iter().flat_map(|file| file.expect("the file can be read"));
    lines.map(|document| document.expect("a document")).collect()
}

/// Returns a copy of the loaded database and the documents accepted while loading. The load runs once per process; it
/// fails the test unless every document is accepted, the pipeline becomes idle, and `verify` finds no difference.
pub(crate) async fn copy(name: &'static str, world: &'static World) -> (TestDatabase, AcceptedDocuments) {
    let database = TestDatabase::from_template(name, |database| async move {
        let accepted = fill(world, database).await?;
        ACCEPTED.lock().expect("not poisoned").insert(name, Arc::new(accepted));
        Ok::<_, String>(())
    })
    .await;
    let accepted = ACCEPTED.lock().expect("not poisoned").get(name).map(Arc::clone);
    (database, accepted.expect("this process filled the template"))
}

async fn fill(world: &'static World, database: Database) -> Result<Vec<Accepted>, String> {
    let applied = millstream_store::provision::apply(&database, &world.schema, &world.ddl).await;
    applied.map_err(|error| format!("{error:?}"))?;
    let mut running = Running::on(world, database);
    running.follow().await;
    let api = running.serve(WriterOptions::default()).await;
    let documents = documents(world);
    let accepted = load(&api, &world.mapping, &documents).await;
    report!("idle {:.1?} after the last response", running.settle().await);
    api.stop().await;
    let report = running.verify().await;
    if report.documents as usize != documents.len() {
        return Err(format!("{} documents were posted, {} are stored", documents.len(), report.documents));
    }
    running.client().await.batch_execute("ANALYZE").await.map_err(|error| format!("{error:?}"))?;
    running.retire().await;
    Ok(accepted)
}
