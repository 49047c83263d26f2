//! The plainest engine: every document is looked at. What the others are measured by.

use super::Document;
use crate::engine::{FacetCount, FacetValues, Hit, SearchEngine, SearchError, SearchPage};
use crate::extract::{Element, extract};
use crate::model::{FieldIx, SearchModel};
use crate::query::{Group, SearchQuery, SortKey};
use crate::text::terms;
use crate::value::Value;
use bytes::Bytes;
use futures::future::{BoxFuture, FutureExt, ready};
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use uuid::Uuid;

/// An engine in memory. By relevance its order is by id.
#[derive(Debug)]
pub struct MemoryEngine {
    model: Arc<SearchModel>,
    held: Mutex<BTreeMap<Uuid, Held>>,
}

#[derive(Debug)]
struct Held {
    resource_key: i16,
    version: i64,
    body: Bytes,
    root: Element,
    terms: BTreeSet<String>,
}

impl MemoryEngine {
    /// An engine without documents.
    pub fn new(model: Arc<SearchModel>) -> Self {
        Self { model, held: Mutex::default() }
    }

    /// Takes documents as they are now.
    ///
    /// # Panics
    /// If a type is unknown or a body is no JSON: the suite makes neither.
    pub fn put(&self, documents: &[Document]) {
        for document in documents {
            let Some(body) = &document.body else {
                self.held().remove(&document.uuid);
                continue;
            };
            let resource = self.model.by_key(document.resource_key).expect("the suite's types are known");
            let json = serde_json::from_slice(body).expect("the suite's bodies are JSON");
            let extracted = extract(resource, &json);
            let held = Held {
                resource_key: document.resource_key,
                version: document.version,
                body: body.clone(),
                terms: extracted.texts.iter().flat_map(|text| terms(text)).collect(),
                root: extracted.root,
            };
            self.held().insert(document.uuid, held);
        }
    }

    fn held(&self) -> MutexGuard<'_, BTreeMap<Uuid, Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers at once.
    ///
    /// # Panics
    /// Never: every body was read before.
    pub fn answer(&self, query: &SearchQuery) -> SearchPage {
        let held = self.held();
        let mut found: Vec<(SortKey, &Held)> = held
            .iter()
            .filter(|(_, held)| held.resource_key == query.resource.key && is_match(query, held))
            .map(|(uuid, held)| (sort_key(query, *uuid, held), held))
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
            .map(|(key, held)| Hit { uuid: key.uuid, version: held.version, body: held.body.clone() })
            .collect();
        let next = documents
            .last()
            .filter(|_| found.len() > limit)
            .and_then(|last| query.cursor_after(last).expect("it was read before"));
        SearchPage { documents, total, facets, next }
    }
}

fn is_match(query: &SearchQuery, held: &Held) -> bool {
    query.terms.iter().all(|term| held.terms.contains(term)) && meets(&query.conditions, &held.root)
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

fn sort_key(query: &SearchQuery, uuid: Uuid, held: &Held) -> SortKey {
    let values = query.sort.iter().map(|sort| held.root.values_of(sort.field).next().cloned());
    SortKey { values: values.collect(), uuid }
}

fn compare(query: &SearchQuery, a: &SortKey, b: &SortKey) -> Ordering {
    for ((sort, a), b) in query.sort.iter().zip(&a.values).zip(&b.values) {
        let order = match (a, b) {
            (Some(a), Some(b)) if sort.descending => b.cmp(a),
            (Some(a), Some(b)) => a.cmp(b),
            // What has no value comes last in both directions.
            (a, b) => b.is_some().cmp(&a.is_some()),
        };
        if order.is_ne() {
            return order;
        }
    }
    a.uuid.cmp(&b.uuid)
}

fn facet_values(field: FieldIx, found: &[(SortKey, &Held)], values_max: u16) -> Vec<FacetCount> {
    let mut counts: BTreeMap<Value, u64> = BTreeMap::new();
    for (_, held) in found {
        let mut values = BTreeSet::new();
        collect(&held.root, field, &mut values);
        for value in values {
            *counts.entry(value.clone()).or_default() += 1;
        }
    }
    let mut values: Vec<FacetCount> =
        counts.into_iter().map(|(value, documents)| FacetCount { value, documents }).collect();
    // Stable: equal counts stay in the order of their values.
    values.sort_by_key(|count| std::cmp::Reverse(count.documents));
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
