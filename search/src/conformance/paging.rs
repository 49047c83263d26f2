//! Paging while documents change: an unchanged document is returned exactly once.

use super::bench::{Bench, pairs};
use super::documents::{Document, document};
use std::collections::BTreeMap;

/// Documents at the beginning.
const DOCUMENTS: u64 = 60;

pub(super) async fn run(bench: &mut Bench<'_>) {
    for sort in ["", "schoolId", "-nameOfInstitution,districtReference.districtId"] {
        walk(bench, sort).await;
    }
}

fn school(bench: &Bench<'_>, number: u64, version: i64) -> Document {
    let (name, district) = (number % 7, number % 3);
    let members = match number % 5 {
        0 => format!(r#"{{"schoolId":{number}}}"#),
        _ => format!(
            r#"{{"schoolId":{number},"nameOfInstitution":"Name {name}","districtReference":{{"districtId":{district}}}}}"#
        ),
    };
    document(&bench.resource("schools"), number, version, &members)
}

async fn walk(bench: &mut Bench<'_>, sort: &str) {
    // Every walk starts with the same documents, each newer than the previous walk left it.
    let mut version = 1_000 * (1 + sort.len() as i64);
    let even: Vec<Document> = (0..DOCUMENTS).map(|at| school(bench, 2 * at, version)).collect();
    bench.put(&even).await;
    let odd: Vec<Document> =
        (0..DOCUMENTS).map(|at| Document { body: None, ..school(bench, 2 * at + 1, version) }).collect();
    bench.put(&odd).await;

    let mut parameters = pairs(&[("limit", "7"), ("totalCount", "true")]);
    if !sort.is_empty() {
        parameters.push(("sort".to_owned(), sort.to_owned()));
    }
    let mut seen: BTreeMap<_, u32> = BTreeMap::new();
    let mut pages = 0;
    loop {
        let page = bench.search(&bench.query("schools", &parameters)).await;
        assert!(page.documents.len() <= 7, "no more than the limit");
        for hit in &page.documents {
            *seen.entry(hit.uuid).or_default() += 1;
        }
        pages += 1;
        let Some(next) = page.next else { break };
        assert_eq!(page.documents.len(), 7, "only the last page is short");
        parameters.retain(|(name, _)| name != "cursor");
        parameters.push(("cursor".to_owned(), next.to_string()));
        // Odd documents come and go, before and after the cursor.
        version += 10;
        let born = school(bench, (pages * 14 + 1) % (2 * DOCUMENTS), version);
        let gone = Document { body: None, ..school(bench, (pages * 30 + 1) % (2 * DOCUMENTS), version + 1) };
        if born.uuid != gone.uuid {
            bench.put(&[born, gone]).await;
        }
    }
    assert!(pages >= DOCUMENTS / 7, "{pages} pages");
    for document in &even {
        assert_eq!(seen.get(&document.uuid), Some(&1), "sort={sort}: an unchanged document is returned once");
    }
    assert!(seen.values().all(|times| *times == 1), "sort={sort}: no document is returned twice");
}
