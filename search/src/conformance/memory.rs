//! The reference engine: it examines every document.

use super::documents::Document;
use crate::engine::{FacetCount, FacetValues, SearchEngine, SearchError, SearchPage};
use crate::extract::{Element, extract};
use crate::hit::Hit;
use crate::model::{FieldIx, SearchModel};
use crate::query::{Group, SearchQuery, SortKey};
use crate::text::terms;
use crate::value::Value;
use bytes::Bytes;
use futures::future::{BoxFuture, FutureExt, ready};
use parking_lot::Mutex;
use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use uuid::Uuid;

/// An engine in memory. Its order by relevance is the order by id.
#[derive(Debug)]
pub struct MemoryEngine {
    model: Arc<SearchModel>,
    documents: Mutex<BTreeMap<Uuid, IndexedDocument>>,
}

#[derive(Debug)]
struct IndexedDocument {
    resource_key: i16,
    version: i64,
    body: Bytes,
    root: Element,
    terms: BTreeSet<String>,
}

impl MemoryEngine {
    /// Returns an engine without documents.
    pub fn new(model: Arc<SearchModel>) -> Self {
        Self { model, documents: Mutex::default() }
    }

    /// Stores documents.
    ///
    /// # Panics
    /// If a type is unknown or a body is not JSON; the suite has neither.
    pub fn put(&self, documents: &[Document]) {
        for document in documents {
            let Some(body) = &document.body else {
                self.documents.lock().remove(&document.uuid);
                continue;
            };
            let resource = self.model.by_key(document.resource_key).expect("the suite's types are known");
            let json = serde_json::from_slice(body).expect("the suite's bodies are JSON");
            let extracted = extract(resource, &json);
            let indexed = IndexedDocument {
                resource_key: document.resource_key,
                version: document.version,
                body: body.clone(),
                terms: extracted.texts.iter().flat_map(|text| terms(text)).collect(),
                root: extracted.root,
            };
            self.documents.lock().insert(document.uuid, indexed);
        }
    }

    /// Returns the page for a query.
    ///
    /// # Panics
    /// Never: [`MemoryEngine::put`] has parsed every body.
    pub fn answer(&self, query: &SearchQuery) -> SearchPage {
        let documents = self.documents.lock();
        let mut found: Vec<(SortKey, &IndexedDocument)> = documents
            .iter()
            .filter(|(_, document)| document.resource_key == query.resource.key && is_match(query, document))
            .map(|(uuid, document)| (sort_key(query, *uuid, document), document))
            .collect();
        found.sort_by(|(a, _), (b, _)| compare(query, a, b));
        let facets = query.facets.iter().map(|facet| {
            let values = facet_values(facet.field, &found, query.facet_values_max);
            FacetValues { name: facet.name.clone(), values }
        });
        let facets = facets.collect();
        let total = query.total_count.then_some(found.len() as u64);
        if let Some(after) = &query.after {
            found.retain(|(key, _)| compare(query, key, after) == Ordering::Greater);
        }
        let limit = query.limit as usize;
        let documents: Vec<Hit> = found
            .iter()
            .take(limit)
            .map(|(key, document)| Hit { uuid: key.uuid, version: document.version, body: document.body.clone() })
            .collect();
        let next = documents
            .last()
            .filter(|_| found.len() > limit)
            .and_then(|last| query.cursor_after(last).expect("the body was parsed before"));
        SearchPage { documents, total, facets, next }
    }
}

fn is_match(query: &SearchQuery, document: &IndexedDocument) -> bool {
    query.terms.iter().all(|term| document.terms.contains(term)) && meets(&query.conditions, &document.root)
}

fn meets(group: &Group, element: &Element) -> bool {
    let conditions = group.conditions.iter().all(|condition| {
        let mut tests = condition.any_of.iter();
        tests.any(|test| element.values_of(test.field).any(|value| test.comparison.accepts(value)))
    });
    conditions
        && group.inner.iter().all(|group| {
            let mut elements = element.inner.iter().filter(|(collection, _)| Some(*collection) == group.collection);
            elements.any(|(_, element)| meets(group, element))
        })
}

fn sort_key(query: &SearchQuery, uuid: Uuid, document: &IndexedDocument) -> SortKey {
    let values = query.sort.iter().map(|sort| document.root.values_of(sort.field).next().cloned());
    SortKey { values: values.collect(), uuid }
}

fn compare(query: &SearchQuery, a: &SortKey, b: &SortKey) -> Ordering {
    for ((sort, a), b) in query.sort.iter().zip(&a.values).zip(&b.values) {
        let order = match (a, b) {
            (Some(a), Some(b)) if sort.descending => b.cmp(a),
            (Some(a), Some(b)) => a.cmp(b),
            // A missing value sorts last in both directions.
            (a, b) => b.is_some().cmp(&a.is_some()),
        };
        if order.is_ne() {
            return order;
        }
    }
    a.uuid.cmp(&b.uuid)
}

fn facet_values(field: FieldIx, found: &[(SortKey, &IndexedDocument)], values_max: u16) -> Vec<FacetCount> {
    let mut counts: BTreeMap<Value, u64> = BTreeMap::new();
    for (_, document) in found {
        let mut values = BTreeSet::new();
        collect(&document.root, field, &mut values);
        for value in values {
            *counts.entry(value.clone()).or_default() += 1;
        }
    }
    let mut values: Vec<FacetCount> =
        counts.into_iter().map(|(value, documents)| FacetCount { value, documents }).collect();
    // The sort is stable: equal counts stay in the order of their values.
    values.sort_by_key(|count| Reverse(count.documents));
    values.truncate(usize::from(values_max));
    values
}

fn collect<'e>(element: &'e Element, field: FieldIx, values: &mut BTreeSet<&'e Value>) {
    values.extend(element.values_of(field));
    for (_, inner) in &element.inner {
        collect(inner, field, values);
    }
}

impl SearchEngine for MemoryEngine {
    fn describe(&self) -> String {
        "documents in memory".to_owned()
    }

    fn search<'a>(&'a self, query: &'a SearchQuery) -> BoxFuture<'a, Result<SearchPage, SearchError>> {
        ready(Ok(self.answer(query))).boxed()
    }

    fn refresh(&self) -> BoxFuture<'_, Result<(), SearchError>> {
        ready(Ok(())).boxed()
    }
}
