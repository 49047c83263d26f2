//! A database with all documents in it, loaded over HTTP and followed live; each test gets a copy.

use super::loading::{Accepted, load};
use super::running::Running;
use super::say;
use millstream_store::connect::Database;
use millstream_testkit::corpus::{Document, read};
use millstream_testkit::{TestDatabase, World};
use millstream_writer::WriterOptions;
use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex};

type Account = Arc<Vec<Accepted>>;
/// What was accepted while each template was loaded, by the name of the template.
static ACCOUNTS: LazyLock<Mutex<HashMap<&'static str, Account>>> = LazyLock::new(Mutex::default);

/// The documents of a world, in dependency order; those of the corpus that are there for volume only if
/// `MILLSTREAM_TEST_VOLUME` asks for them.
pub(crate) fn documents(world: &World) -> Vec<Document> {
    let is_corpus = world.corpus.root().join("ds-5.2").is_dir();
    let files = if is_corpus {
        let volume = std::env::var_os("MILLSTREAM_TEST_VOLUME").map(|_| world.corpus.volume());
        [Some(world.corpus.documents()), volume].into_iter().flatten().collect()
    } else {
        world.corpus.document_paths().iter().map(|path| read(path)).collect::<Vec<_>>()
    };
    let lines = files.into_iter().flat_map(|file| file.expect("readable"));
    lines.map(|document| document.expect("a document")).collect()
}

/// A copy of the loaded database, and the account of its loading. The load happens once a process; it fails the test
/// unless every document is accepted, everything comes to rest, and the audit finds nothing.
pub(crate) async fn copy(name: &'static str, world: &'static World) -> (TestDatabase, Account) {
    let database = TestDatabase::from_template(name, |database| async move {
        let account = fill(world, database).await?;
        ACCOUNTS.lock().expect("no test panics here").insert(name, Arc::new(account));
        Ok::<_, String>(())
    })
    .await;
    let account = ACCOUNTS.lock().expect("no test panics here").get(name).map(Arc::clone);
    (database, account.expect("the template was filled by this process"))
}

async fn fill(world: &'static World, database: Database) -> Result<Vec<Accepted>, String> {
    let applied = millstream_store::provision::apply(&database, &world.schema, &world.ddl).await;
    applied.map_err(|error| format!("{error:?}"))?;
    let mut running = Running::on(world, database);
    running.follow().await;
    let door = running.door(WriterOptions::default()).await;
    let documents = documents(world);
    let accepted = load(&door, &world.mapping, &documents).await;
    say!("came to rest in {:.1?} after the last answer", running.settle().await);
    door.close().await;
    let report = running.verify().await;
    if report.documents as usize != documents.len() {
        return Err(format!("{} documents were posted, {} are there", documents.len(), report.documents));
    }
    running.client().await.batch_execute("ANALYZE").await.map_err(|error| format!("{error:?}"))?;
    running.retire().await;
    Ok(accepted)
}
