//! Runs one generated schema from files to a verified database.

use crate::emit;
use crate::expected_state::{Node, same, spelled};
use crate::fill::Filler;
use crate::generate::generate;
use crate::shape::Set;
use millstream_pipeline::memory::MemoryBudget;
use millstream_projector::cascade::stamp_page;
use millstream_schema::{apischema, ddl, model, plan};
use millstream_store::load::Caches;
use millstream_store::verify::{VerifyOptions, verify};
use millstream_store::{provision, read};
use millstream_testkit::TestDatabase;
use millstream_writer::{Outcome, Preconditions, WriteError, Writer, WriterOptions};
use rand::RngExt;
use serde_json::{Value, json};
use std::sync::Arc;

/// Counters over all trials.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) schemas: usize,
    /// Sets that are refused, correctly, because two names collide.
    pub(crate) collisions: usize,
    pub(crate) documents: usize,
    pub(crate) edits: usize,
    pub(crate) renames: usize,
    pub(crate) refused_renames: usize,
    pub(crate) deletes: usize,
    pub(crate) refused_deletes: usize,
    pub(crate) queries: usize,
}

type TrialResult = Result<(), String>;

macro_rules! ensure {
    ($condition:expr, $($message:tt)+) => {
        if !$condition {
            return Err(format!($($message)+));
        }
    };
}

/// Runs all steps on the set of a seed; returns an error if one fails.
pub(crate) async fn run(seed: u64, counts: &mut Counts) -> TrialResult {
    let set = generate(seed);
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
            counts.collisions += 1;
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
    let mut trial = Trial { set: &set, mapping, writer, database: &database, filler, caches: Caches::default() };
    trial.run(counts).await?;
    counts.schemas += 1;
    Ok(())
}

/// A generated schema with its database, writer and documents.
struct Trial<'s> {
    set: &'s Set,
    mapping: Arc<plan::Mapping>,
    writer: Writer,
    database: &'s TestDatabase,
    filler: Filler<'s>,
    caches: Caches,
}

impl Trial<'_> {
    async fn run(&mut self, counts: &mut Counts) -> TrialResult {
        for document in 0..self.filler.state.documents.len() {
            self.post(document, Outcome::Created).await?;
        }
        counts.documents += self.filler.state.documents.len();
        self.read_all("after the first load").await?;
        let before = self.outbox_rows().await?;
        for document in 0..self.filler.state.documents.len() {
            self.post(document, Outcome::Unchanged).await?;
        }
        ensure!(self.outbox_rows().await? == before, "a second load wrote outbox rows");
        self.edits(counts).await?;
        self.read_all("after edits").await?;
        self.renames(counts).await?;
        self.read_all("after renames").await?;
        crate::query::query_all(self.set, &self.filler.state, self.database, &self.mapping, counts).await?;
        self.deletes(counts).await?;
        self.read_all("after deletes").await?;
        self.verify().await
    }

    fn resource(&self, document: usize) -> Result<plan::ResourceIx, String> {
        let of = &self.set.types[self.filler.state.documents[document].of];
        let project = &self.set.projects[of.project].endpoint;
        self.mapping.route(project, &of.endpoint).ok_or_else(|| format!("no route to {project}/{}", of.endpoint))
    }

    async fn post(&mut self, document: usize, expected: Outcome) -> TrialResult {
        let body = spelled(&self.filler.state.body(document), &mut self.filler.rng);
        let resource = self.resource(document)?;
        let written = self.writer.post(resource, body.to_string().as_bytes(), &Preconditions::default()).await;
        let written =
            written.map_err(|error| format!("POST of document {document} was refused: {error:?}\n{body:#}"))?;
        ensure!(
            written.outcome == expected,
            "POST of {document} gave {:?}, not {expected:?}\n{body:#}",
            written.outcome
        );
        self.filler.state.documents[document].uuid = Some(written.uuid);
        Ok(())
    }

    /// Puts `node` as the body of a document. References use current identities: a document that changes its identity
    /// still refers to itself by the old one.
    async fn put(&mut self, document: usize, node: &Node) -> Result<Result<Outcome, WriteError>, String> {
        let mut body = spelled(&self.filler.state.render(node), &mut self.filler.rng);
        let uuid = self.filler.state.documents[document].uuid.unwrap_or_default();
        body["id"] = json!(uuid.to_string());
        let resource = self.resource(document)?;
        let written = self.writer.put(resource, uuid, body.to_string().as_bytes(), &Preconditions::default()).await;
        match written {
            Ok(written) => Ok(Ok(written.outcome)),
            Err(error @ WriteError::RenameRefused { .. }) => Ok(Err(error)),
            Err(error) => Err(format!("PUT of document {document} was refused: {error:?}\n{body:#}")),
        }
    }

    /// Replaces the expected body of a document; returns the previous one.
    fn replace_body(&mut self, document: usize, node: Node) -> Node {
        std::mem::replace(&mut self.filler.state.documents[document].node, node)
    }

    async fn edits(&mut self, counts: &mut Counts) -> TrialResult {
        for document in self.filler.state.existing() {
            if !self.filler.rng.random_bool(0.4) {
                continue;
            }
            let Some(node) = self.filler.edit(document) else { continue };
            let answer = self.put(document, &node).await?;
            let before = self.replace_body(document, node);
            let changed = !same(&self.filler.state.render(&before), &self.filler.state.body(document));
            let expected = if changed { Outcome::Updated } else { Outcome::Unchanged };
            match answer {
                Ok(outcome) => {
                    ensure!(outcome == expected, "the edit of {document} gave {outcome:?}, not {expected:?}")
                }
                Err(error) => return Err(format!("the edit of {document} was taken for a rename: {error:?}")),
            }
            counts.edits += 1;
        }
        Ok(())
    }

    async fn renames(&mut self, counts: &mut Counts) -> TrialResult {
        for document in self.filler.state.existing() {
            let of = &self.set.types[self.filler.state.documents[document].of];
            if !of.renamable || !self.filler.rng.random_bool(0.6) {
                continue;
            }
            let Some(node) = self.filler.rename(document) else { continue };
            let state = &self.filler.state;
            // A self-reference by the old identity may contradict the new body; such a rename cannot be requested.
            if !state.agrees(state.documents[document].of, &state.render(&node)) {
                continue;
            }
            let answer = self.put(document, &node).await?;
            let before = self.replace_body(document, node);
            let breaks = |at: &usize| !self.filler.state.holds(*at);
            let broken: Vec<usize> = self.filler.state.existing().into_iter().filter(breaks).collect();
            match answer {
                Ok(_) => {
                    ensure!(broken.is_empty(), "the rename of {document} breaks {broken:?} and was accepted");
                    counts.renames += 1;
                }
                Err(error) => {
                    ensure!(
                        !broken.is_empty(),
                        "the rename of {document} breaks no constraint and was refused: {error:?}"
                    );
                    self.replace_body(document, before);
                    counts.refused_renames += 1;
                }
            }
        }
        while stamp_page(self.database.database(), 3).await.map_err(|error| format!("{error:?}"))?.is_some() {}
        Ok(())
    }

    async fn deletes(&mut self, counts: &mut Counts) -> TrialResult {
        for document in self.filler.state.existing().into_iter().rev() {
            if !self.filler.rng.random_bool(0.25) {
                continue;
            }
            let state = &self.filler.state;
            let refers = |at: &usize| *at != document && state.names(&state.documents[*at].node, document);
            let referrer = state.existing().into_iter().find(refers);
            let uuid = state.documents[document].uuid.unwrap_or_default();
            match (self.writer.delete(self.resource(document)?, uuid, &Preconditions::default()).await, referrer) {
                (Ok(_), None) => {
                    self.filler.state.documents[document].deleted = true;
                    counts.deletes += 1;
                }
                (Err(WriteError::DependentItemExists { .. }), Some(_)) => counts.refused_deletes += 1,
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

    async fn read_all(&self, when: &str) -> TrialResult {
        for document in 0..self.filler.state.documents.len() {
            let known = &self.filler.state.documents[document];
            let (resource, uuid) = (self.resource(document)?, known.uuid.unwrap_or_default());
            let found = read::get(
                self.database.database(),
                &self.mapping,
                &self.caches,
                &MemoryBudget::default(),
                resource,
                uuid,
            )
            .await;
            let found = found.map_err(|error| format!("{when}: document {document} cannot be read: {error:?}"))?;
            let expected = (!known.deleted).then(|| self.filler.state.body(document));
            let found: Option<Value> = match &found {
                Some(found) => Some(serde_json::from_slice(&found.body).map_err(|error| error.to_string())?),
                None => None,
            };
            let equal = match (&expected, &found) {
                (Some(expected), Some(found)) => same(expected, found),
                (expected, found) => expected.is_none() && found.is_none(),
            };
            ensure!(equal, "{when}: document {document} must be\n{expected:#?}\nbut is\n{found:#?}");
        }
        Ok(())
    }

    async fn verify(&self) -> TrialResult {
        let report = verify(self.database.database(), &self.mapping, &VerifyOptions::default(), &mut |_| {}).await;
        let report = report.map_err(|error| format!("{error:?}"))?;
        let existing = self.filler.state.existing().len();
        ensure!(report.documents as usize == existing, "verify saw {} of {existing} documents", report.documents);
        ensure!(report.difference_count() == 0, "{:#?}", report.differences);
        Ok(())
    }
}
