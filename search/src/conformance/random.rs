//! Random queries over random documents: the engine and the reference must return the same pages.

use super::bench::Bench;
use super::documents::{Document, document, uuid_of};
use crate::engine::SearchPage;
use crate::model::{FieldIx, FieldKind, MemberKind, SearchResource, Shape};
use crate::value::{Decimal, code_of};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use serde_json::{Map, Value as Json};

/// Seeds of the runs; a failure prints its seed.
pub(super) const SEEDS: [u64; 3] = [11, 23, 37];

/// Types of the documents: nested collections, extensions, references in collections, a descriptor.
const ENDPOINTS: [&str; 4] = ["schools", "students", "studentSectionAssociations", "gradeLevelDescriptors"];

/// Documents of a run.
const DOCUMENTS: u64 = 80;
/// Queries before the documents change, and again after.
const QUERIES: usize = 50;
/// Minimum number of queries that must find something, so that the comparison is meaningful.
const MATCHED_MIN: usize = 15;
/// Maximum pages of one query.
const PAGES_MAX: usize = 4;

const TEXTS: [&str; 8] = ["Dale", "dale", "Élan vital", "a b", "O'Neil", "Dale Heath", "9", "\u{10FFFF}z"];
const WORDS: [&str; 7] = ["dale", "Elan", "b", "NEIL", "heath", "9", "code"];
const URIS: [&str; 4] =
    ["uri://x.example/D#Code A", "uri://X.example/d#code a", "uri://x.example/D#B", "uri://x.example/E#Code A"];

pub(super) async fn run(bench: &mut Bench<'_>, seed: u64) {
    let mut random = StdRng::seed_from_u64(seed);
    let documents: Vec<Document> = (0..DOCUMENTS).map(|number| any_document(bench, &mut random, number, 1)).collect();
    bench.put(&documents).await;
    ask(bench, &mut random, seed).await;
    let changed: Vec<Document> = (0..DOCUMENTS)
        .filter_map(|number| match random.random_range(0..4) {
            0 => Some(Document { body: None, ..any_document(bench, &mut random, number, 2) }),
            1 => Some(any_document(bench, &mut random, number, 2)),
            _ => None,
        })
        .collect();
    bench.put(&changed).await;
    ask(bench, &mut random, seed).await;
}

async fn ask(bench: &Bench<'_>, random: &mut StdRng, seed: u64) {
    let mut matched = 0;
    for number in 0..QUERIES {
        let endpoint = ENDPOINTS[number % ENDPOINTS.len()];
        let resource = bench.resource(endpoint);
        let mut parameters = any_parameters(&resource, random);
        for page in 0..PAGES_MAX {
            let query = bench.query(endpoint, &parameters);
            let (mut found, mut expected) = (bench.search(&query).await, bench.reference.answer(&query));
            if query.is_by_relevance() {
                by_id(&mut found);
                by_id(&mut expected);
            }
            assert_eq!(found, expected, "seed {seed}, query {number}: {endpoint} {parameters:?}");
            matched += usize::from(page == 0 && !found.documents.is_empty());
            let Some(next) = found.next else { break };
            parameters.retain(|(name, _)| name != "cursor");
            parameters.push(("cursor".to_owned(), next.to_string()));
        }
    }
    assert!(matched >= MATCHED_MIN, "seed {seed}: only {matched} of {QUERIES} queries found something");
}

fn by_id(page: &mut SearchPage) {
    page.documents.sort_by_key(|hit| hit.uuid);
}

/// Returns a document whose type depends on its number alone.
fn any_document(bench: &Bench<'_>, random: &mut StdRng, number: u64, version: i64) -> Document {
    let resource = bench.resource(ENDPOINTS[(number % ENDPOINTS.len() as u64) as usize]);
    let mut members = any_object(&resource, &resource.shape, random);
    members.retain(|name, _| name != "id" && name != "_lastModifiedDate");
    document(&resource, number, version, &Json::Object(members).to_string())
}

fn any_object(resource: &SearchResource, shape: &Shape, random: &mut StdRng) -> Map<String, Json> {
    let mut members = Map::new();
    for (name, place) in shape.iter() {
        if random.random_bool(0.6) {
            members.insert(name.to_owned(), any_node(resource, place, random));
        }
    }
    members
}

fn any_node(resource: &SearchResource, place: &MemberKind, random: &mut StdRng) -> Json {
    match place {
        MemberKind::Field(field) => any_json(resource.field(*field).kind, random),
        MemberKind::Object(shape) => Json::Object(any_object(resource, shape, random)),
        MemberKind::Collection(_, item) => {
            let items = random.random_range(1..4);
            Json::Array((0..items).map(|_| any_node(resource, item, random)).collect())
        }
    }
}

fn any_json(kind: FieldKind, random: &mut StdRng) -> Json {
    let text = any_text(kind, random);
    match kind {
        FieldKind::Integer | FieldKind::Decimal { .. } | FieldKind::Boolean => {
            serde_json::from_str(&text).expect("a number or a boolean")
        }
        _ => Json::String(text),
    }
}

/// Returns a value as text, from few enough that queries match.
fn any_text(kind: FieldKind, random: &mut StdRng) -> String {
    let small = random.random_range(1..6);
    match kind {
        FieldKind::Id => uuid_of(random.random_range(0..DOCUMENTS)).to_string(),
        FieldKind::Text => (*TEXTS.choose(random).expect("not empty")).to_owned(),
        FieldKind::Integer if small == 1 => "9007199254740993".to_owned(),
        FieldKind::Integer => (small - 4).to_string(),
        FieldKind::Decimal { scale, .. } => Decimal { unscaled: small * 7 - 20, scale }.to_string(),
        FieldKind::Boolean => random.random_bool(0.5).to_string(),
        FieldKind::Date => format!("2030-01-0{small}"),
        FieldKind::Time => format!("0{small}:30:00"),
        FieldKind::DateTime => format!("2031-01-0{small}T00:00:00Z"),
        FieldKind::Descriptor => (*URIS.choose(random).expect("not empty")).to_owned(),
    }
}

fn any_parameters(resource: &SearchResource, random: &mut StdRng) -> Vec<(String, String)> {
    let mut parameters: Vec<(String, String)> = Vec::new();
    for _ in 0..random.random_range(0..4) {
        let (name, value) = any_condition(resource, random);
        if !parameters.iter().any(|(other, _)| *other == name) {
            parameters.push((name, value));
        }
    }
    let mut add = |name: &str, value: String| parameters.push((name.to_owned(), value));
    let has_words = random.random_bool(0.3);
    if has_words {
        let words: Vec<&str> = (0..random.random_range(1..3)).filter_map(|_| WORDS.choose(random).copied()).collect();
        add("q", words.join(" "));
    }
    let sorts: Vec<FieldIx> =
        resource.iter().filter(|(_, field)| field.collection.is_none()).map(|(ix, _)| ix).collect();
    let is_sorted = random.random_bool(0.5);
    if is_sorted && let (Some(first), Some(second)) = (sorts.choose(random), sorts.choose(random)) {
        let path = |ix: &FieldIx| resource.field(*ix).path.clone();
        let minus = if random.random_bool(0.5) { "-" } else { "" };
        let both = format!("{minus}{},{}", path(first), path(second));
        add("sort", if first == second { format!("{minus}{}", path(first)) } else { both });
    }
    if random.random_bool(0.4) {
        let shared = resource.iter().skip(1).filter(|(ix, _)| resource.identity != Some(*ix));
        let facet = shared.map(|(_, field)| &field.path).nth(random.random_range(0..5));
        add("facet", facet.cloned().unwrap_or_else(|| "_lastModifiedDate".to_owned()));
        add("facetLimit", random.random_range(1..12).to_string());
    }
    add("totalCount", random.random_bool(0.5).to_string());
    let limit = if has_words && !is_sorted { 1_000 } else { random.random_range(1..12) };
    add("limit", limit.to_string());
    parameters
}

fn any_condition(resource: &SearchResource, random: &mut StdRng) -> (String, String) {
    // Conditions on elements of collections are the hard case, so they are more frequent.
    let inner: Vec<FieldIx> =
        resource.iter().filter(|(_, field)| field.collection.is_some()).map(|(ix, _)| ix).collect();
    let any: Vec<FieldIx> = resource.iter().map(|(ix, _)| ix).collect();
    let pool = if random.random_bool(0.6) && !inner.is_empty() { &inner } else { &any };
    let field = resource.field(*pool.choose(random).expect("every type has fields"));
    let operator = match random.random_range(0..8) {
        0 => ":gt",
        1 => ":gte",
        2 => ":lt",
        3 => ":lte",
        _ => "",
    };
    let operator = if field.kind.is_ordered() { operator } else { "" };
    let mut value = any_text(field.kind, random);
    if field.kind == FieldKind::Descriptor && random.random_bool(0.5) {
        value = code_of(&value).to_uppercase();
    }
    (format!("{}{operator}", field.path), value)
}
