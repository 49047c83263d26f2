//! One invented schema from files to a verified database.

use crate::emit;
use crate::fill::Filler;
use crate::invent::invent;
use crate::shape::Set;
use crate::world::{Node, same, spelled};
use millstream_projector::cascade::work_off_page;
use millstream_schema::{apischema, ddl, model, plan};
use millstream_store::load::Caches;
use millstream_store::verify::{VerifyOptions, verify};
use millstream_store::{provision, read};
use millstream_testkit::TestDatabase;
use millstream_writer::{Outcome, Preconditions, WriteError, Writer, WriterOptions};
use rand::RngExt;
use serde_json::{Value, json};
use std::sync::Arc;

/// What was done.
#[derive(Debug, Default)]
pub(crate) struct Account {
    pub(crate) schemas: usize,
    /// Sets in which two names collide: refused, as they have to be.
    pub(crate) collisions: usize,
    pub(crate) documents: usize,
    pub(crate) edits: usize,
    pub(crate) renames: usize,
    pub(crate) refused_renames: usize,
    pub(crate) deletes: usize,
    pub(crate) refused_deletes: usize,
    pub(crate) queries: usize,
}

type Trial = Result<(), String>;

macro_rules! ensure {
    ($condition:expr, $($message:tt)+) => {
        if !$condition {
            return Err(format!($($message)+));
        }
    };
}

/// Everything that an invented set has to stand. The reason, if it does not.
pub(crate) async fn run(seed: u64, account: &mut Account) -> Trial {
    let set = invent(seed);
    let mut files = emit::files(&set);
    if let Ok(folder) = std::env::var("MILLSTREAM_TEST_KEEP") {
        for (path, text) in &files {
            let kept = std::path::Path::new(&folder).join(format!("{seed}-{}", path.display()));
            std::fs::write(kept, text).map_err(|error| error.to_string())?;
        }
    }
    let schema = apischema::load_texts(&files).map_err(|errors| errors.to_string())?;
    let model = match model::derive(&schema) {
        Ok(model) => model,
        Err(errors) if errors.to_string().contains("is made by both") => {
            account.collisions += 1;
            println!("MILLSTREAM_SEED={seed} is refused: {errors}");
            return Ok(());
        }
        Err(errors) => return Err(errors.to_string()),
    };
    let text = ddl::postgres(&model);
    files.reverse();
    let again = apischema::load_texts(&files).map_err(|errors| errors.to_string())?;
    ensure!(again.hash == schema.hash, "the order of files changes the hash");
    let again = model::derive(&again).map_err(|errors| errors.to_string())?;
    ensure!(ddl::postgres(&again) == text, "the order of files changes the DDL");
    let database = TestDatabase::create().await;
    provision::apply(database.database(), &schema, &text).await.map_err(|error| format!("{error:?}"))?;
    let mapping = Arc::new(plan::compile(&schema, &model));
    let writer = Writer::new(database.database().clone(), Arc::clone(&mapping), WriterOptions::default())
        .map_err(|error| error.to_string())?;
    let filler = Filler::fill(&set, seed);
    let mut stage = Stage { set: &set, mapping, writer, database: &database, filler, caches: Caches::default() };
    stage.play(account).await?;
    account.schemas += 1;
    Ok(())
}

struct Stage<'s> {
    set: &'s Set,
    mapping: Arc<plan::Mapping>,
    writer: Writer,
    database: &'s TestDatabase,
    filler: Filler<'s>,
    caches: Caches,
}

impl Stage<'_> {
    async fn play(&mut self, account: &mut Account) -> Trial {
        for document in 0..self.filler.world.documents.len() {
            self.post(document, Outcome::Created).await?;
        }
        account.documents += self.filler.world.documents.len();
        self.read_all("after the first load").await?;
        let before = self.outbox_rows().await?;
        for document in 0..self.filler.world.documents.len() {
            self.post(document, Outcome::Unchanged).await?;
        }
        ensure!(self.outbox_rows().await? == before, "a second load wrote outbox rows");
        self.edits(account).await?;
        self.read_all("after edits").await?;
        self.renames(account).await?;
        self.read_all("after renames").await?;
        crate::query::ask_all(self.set, &self.filler.world, self.database, &self.mapping, account).await?;
        self.deletes(account).await?;
        self.read_all("after deletes").await?;
        self.verify().await
    }

    fn resource(&self, document: usize) -> Result<plan::ResourceIx, String> {
        let of = &self.set.types[self.filler.world.documents[document].of];
        let project = &self.set.projects[of.project].endpoint;
        self.mapping.route(project, &of.endpoint).ok_or_else(|| format!("no route to {project}/{}", of.endpoint))
    }

    async fn post(&mut self, document: usize, expected: Outcome) -> Trial {
        let body = spelled(&self.filler.world.body(document), &mut self.filler.rng);
        let resource = self.resource(document)?;
        let written = self.writer.post(resource, body.to_string().as_bytes(), &Preconditions::default()).await;
        let written = written.map_err(|error| format!("POST of document {document} refused: {error:?}\n{body:#}"))?;
        ensure!(
            written.outcome == expected,
            "POST of {document} gave {:?}, not {expected:?}\n{body:#}",
            written.outcome
        );
        self.filler.world.documents[document].uuid = Some(written.uuid);
        Ok(())
    }

    /// Makes a document what `node` says. References are spelled as they lead to documents now: one that changes its
    /// identity still names itself by the old one.
    async fn put(&mut self, document: usize, node: &Node) -> Result<Result<Outcome, WriteError>, String> {
        let mut body = spelled(&self.filler.world.render(node), &mut self.filler.rng);
        let uuid = self.filler.world.documents[document].uuid.unwrap_or_default();
        body["id"] = json!(uuid.to_string());
        let resource = self.resource(document)?;
        let written = self.writer.put(resource, uuid, body.to_string().as_bytes(), &Preconditions::default()).await;
        match written {
            Ok(written) => Ok(Ok(written.outcome)),
            Err(error @ WriteError::RenameRefused { .. }) => Ok(Err(error)),
            Err(error) => Err(format!("PUT of document {document} refused: {error:?}\n{body:#}")),
        }
    }

    /// The document as it would be with this body; gives back what it was.
    fn become_(&mut self, document: usize, node: Node) -> Node {
        std::mem::replace(&mut self.filler.world.documents[document].node, node)
    }

    async fn edits(&mut self, account: &mut Account) -> Trial {
        for document in self.filler.world.living() {
            if !self.filler.rng.random_bool(0.4) {
                continue;
            }
            let Some(node) = self.filler.edit(document) else { continue };
            let answer = self.put(document, &node).await?;
            let before = self.become_(document, node);
            let changed = !same(&self.filler.world.render(&before), &self.filler.world.body(document));
            let expected = if changed { Outcome::Updated } else { Outcome::Unchanged };
            match answer {
                Ok(outcome) => {
                    ensure!(outcome == expected, "the edit of {document} gave {outcome:?}, not {expected:?}")
                }
                Err(error) => return Err(format!("the edit of {document} was taken for a rename: {error:?}")),
            }
            account.edits += 1;
        }
        Ok(())
    }

    async fn renames(&mut self, account: &mut Account) -> Trial {
        for document in self.filler.world.living() {
            let of = &self.set.types[self.filler.world.documents[document].of];
            if !of.renamable || !self.filler.rng.random_bool(0.6) {
                continue;
            }
            let Some(node) = self.filler.rename(document) else { continue };
            let world = &self.filler.world;
            // What names this document by its old identity may disagree with the rest of the new body: no request says both.
            if !world.agrees(world.documents[document].of, &world.render(&node)) {
                continue;
            }
            let answer = self.put(document, &node).await?;
            let before = self.become_(document, node);
            let breaks = |at: &usize| !self.filler.world.holds(*at);
            let broken: Vec<usize> = self.filler.world.living().into_iter().filter(breaks).collect();
            match answer {
                Ok(_) => {
                    ensure!(broken.is_empty(), "the rename of {document} breaks {broken:?} and was accepted");
                    account.renames += 1;
                }
                Err(error) => {
                    ensure!(!broken.is_empty(), "the rename of {document} breaks nobody and was refused: {error:?}");
                    self.become_(document, before);
                    account.refused_renames += 1;
                }
            }
        }
        while work_off_page(self.database.database(), 3).await.map_err(|error| format!("{error:?}"))?.is_some() {}
        Ok(())
    }

    async fn deletes(&mut self, account: &mut Account) -> Trial {
        for document in self.filler.world.living().into_iter().rev() {
            if !self.filler.rng.random_bool(0.25) {
                continue;
            }
            let world = &self.filler.world;
            let refers = |at: &usize| *at != document && world.names(&world.documents[*at].node, document);
            let referrer = world.living().into_iter().find(refers);
            let uuid = world.documents[document].uuid.unwrap_or_default();
            match (self.writer.delete(self.resource(document)?, uuid, &Preconditions::default()).await, referrer) {
                (Ok(_), None) => {
                    self.filler.world.documents[document].deleted = true;
                    account.deletes += 1;
                }
                (Err(WriteError::DependentItemExists { .. }), Some(_)) => account.refused_deletes += 1,
                (answer, referrer) => {
                    return Err(format!("DELETE of {document}, named by {referrer:?}, gave {answer:?}"));
                }
            }
        }
        Ok(())
    }

    async fn outbox_rows(&self) -> Result<i64, String> {
        let client = self.database.database().get().await.map_err(|error| format!("{error:?}"))?;
        let row = client.query_one(r#"SELECT count(*) FROM "dms"."Outbox""#, &[]).await;
        row.map(|row| row.get(0)).map_err(|error| format!("{error:?}"))
    }

    async fn read_all(&self, when: &str) -> Trial {
        for document in 0..self.filler.world.documents.len() {
            let known = &self.filler.world.documents[document];
            let (resource, uuid) = (self.resource(document)?, known.uuid.unwrap_or_default());
            let found = read::get(self.database.database(), &self.mapping, &self.caches, resource, uuid).await;
            let found = found.map_err(|error| format!("{when}: document {document} cannot be read: {error:?}"))?;
            let expected = (!known.deleted).then(|| self.filler.world.body(document));
            let found: Option<Value> = match &found {
                Some(found) => Some(serde_json::from_slice(&found.body).map_err(|error| error.to_string())?),
                None => None,
            };
            let equal = match (&expected, &found) {
                (Some(expected), Some(found)) => same(expected, found),
                (expected, found) => expected.is_none() && found.is_none(),
            };
            ensure!(equal, "{when}: document {document} should be\n{expected:#?}\nand is\n{found:#?}");
        }
        Ok(())
    }

    async fn verify(&self) -> Trial {
        let report = verify(self.database.database(), &self.mapping, &VerifyOptions::default(), &mut |_| {}).await;
        let report = report.map_err(|error| format!("{error:?}"))?;
        let living = self.filler.world.living().len();
        ensure!(report.documents as usize == living, "verify saw {} of {living} documents", report.documents);
        ensure!(report.difference_count() == 0, "{:#?}", report.differences);
        Ok(())
    }
}
