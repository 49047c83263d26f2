//! Reads and audits within a memory budget: an answer is divided by its bytes, and nothing is left out.

mod support;

use millstream_pipeline::memory::MemoryBudget;
use millstream_store::compose::{ComposedPart, compose_within};
use millstream_store::load::{Caches, heads_by_id};
use millstream_store::query::{QueryError, QueryRequest};
use millstream_store::read::{Page, ReadError, get, page};
use millstream_store::table::cache;
use millstream_store::verify::{DifferenceKind, VerifyOptions, verify};
use support::{World, resource};
use uuid::Uuid;

const KIB: usize = 1 << 10;

/// The bodies of a type, one document and then page after page, with the number of pages.
async fn paged(world: &World, name: &str, memory: &MemoryBudget, bodies_max: usize) -> (Vec<Vec<u8>>, usize) {
    let ix = resource(&world.mapping, name);
    let (mut bodies, mut pages) = (Vec::new(), 0);
    let mut request = QueryRequest { limit: 1, ..QueryRequest::default() };
    loop {
        let read = page(world.database(), &world.mapping, &Caches::default(), memory, ix, &request).await;
        let Page { documents, next_page_token, memory: reserved, .. } =
            read.unwrap_or_else(|error| panic!("{name}: {error:?}"));
        let bytes: usize = documents.iter().map(|document| document.body.len()).sum();
        assert!(documents.len() == 1 || bytes <= bodies_max, "{} documents of {bytes} bytes", documents.len());
        assert!(memory.in_flight() >= bytes, "the bytes of an answer stay reserved: {memory:?}");
        bodies.extend(documents.into_iter().map(|document| document.body.to_vec()));
        drop(reserved);
        assert_eq!(memory.in_flight(), 0);
        pages += 1;
        match next_page_token {
            Some(token) => (request.limit, request.page_token) = (500, Some(token)),
            None => return (bodies, pages),
        }
    }
}

#[tokio::test]
async fn a_page_that_does_not_fit_is_shorter_and_its_token_leads_to_the_rest() {
    let (fresh, cached) = (World::new().await, World::cached().await);
    for name in ["School", "Student", "Session", "StudentSectionAssociation"] {
        let (whole, _) = paged(&fresh, name, &MemoryBudget::default(), usize::MAX).await;
        let bytes: usize = whole.iter().map(Vec::len).sum();
        let (from_cache, pages) = paged(&cached, name, &MemoryBudget::new(16 * KIB), 4 * KIB).await;
        assert!(pages > bytes / (5 * KIB), "{bytes} bytes of {name} in {pages} pages");
        assert_eq!(from_cache, whole, "{name} from the cache");
        let (composed, _) = paged(&fresh, name, &MemoryBudget::new(64 * KIB), 16 * KIB).await;
        assert_eq!(composed, whole, "{name} composed");
    }
}

/// Clients that page by offset advance by the limit: they would skip the rest of a shorter page.
#[tokio::test]
async fn a_page_without_a_token_is_whole_or_refused_with_the_limit_that_fits() {
    for world in [World::new().await, World::cached().await] {
        let ix = resource(&world.mapping, "StudentSectionAssociation");
        let all = world.of_type("StudentSectionAssociation").count();
        let read = async |limit: u32, offset: u64, kib: usize| {
            let request = QueryRequest { limit, offset, ..QueryRequest::default() };
            let memory = MemoryBudget::new(kib * KIB);
            page(world.database(), &world.mapping, &Caches::default(), &memory, ix, &request).await
        };
        assert_eq!(read(500, 0, 64 * KIB).await.expect("a page").documents.len(), all);
        for offset in [0, 1] {
            let Err(ReadError::Query(QueryError::PageTooLarge { fitting })) = read(500, offset, 32).await else {
                panic!("the page has {all} documents")
            };
            let limit = u32::try_from(fitting).expect("a limit");
            assert_eq!(read(limit, offset, 32).await.expect("a page").documents.len(), fitting);
        }
    }
}

#[tokio::test]
async fn a_document_that_exceeds_the_whole_budget_is_refused_and_frees_its_memory() {
    for world in [World::new().await, World::cached().await] {
        let memory = MemoryBudget::new(KIB);
        let school = world.of_type("School").max_by_key(|planted| planted.body.to_string().len()).expect("a school");
        let ix = resource(&world.mapping, "School");
        let refused = get(world.database(), &world.mapping, &Caches::default(), &memory, ix, school.uuid).await;
        let Err(ReadError::OverBudget(over)) = refused else { panic!("{refused:?}") };
        assert!(over.bytes > KIB && over.capacity == KIB, "{over}");
        assert_eq!(memory.in_flight(), 0);
    }
}

#[tokio::test]
async fn the_bytes_of_an_answer_stay_reserved_until_they_are_sent() {
    let world = World::cached().await;
    let memory = MemoryBudget::new(64 * KIB);
    let (school, ix) = (world.first("School"), resource(&world.mapping, "School"));
    let found = get(world.database(), &world.mapping, &Caches::default(), &memory, ix, school.uuid).await;
    let json = found.expect("read").expect("there").into_json();
    let sent_later = json.slice(1..);
    drop(json);
    assert!(memory.in_flight() > 0, "a part of the answer is still to be sent");
    drop(sent_later);
    assert_eq!(memory.in_flight(), 0);
}

#[tokio::test]
async fn a_batch_is_composed_as_far_as_it_fits_and_the_rest_is_named_with_its_size() {
    let world = World::new().await;
    let client = world.database().get().await.expect("connected");
    let ids: Vec<i64> = world.planted.iter().map(|planted| planted.document_id).collect();
    let whole = world.compose(&ids).await;
    let mut heads = heads_by_id(&client, &ids).await.expect("heads");
    let (mut composed, mut parts) = (Vec::new(), 0);
    let mut bytes_max = 32 * KIB;
    while !heads.is_empty() {
        let part = compose_within(&client, &world.mapping, &Caches::default(), None, heads, bytes_max).await;
        let ComposedPart { composed: fitting, deferred } = part.expect("composed");
        if let Some(first) = deferred.first() {
            assert!(first.bytes > 0, "{first:?}");
            bytes_max = if fitting.is_empty() { first.bytes } else { 32 * KIB };
        }
        assert!(deferred.windows(2).all(|pair| pair[0].head.document_id < pair[1].head.document_id));
        composed.extend(fitting);
        heads = deferred.into_iter().map(|deferred| deferred.head).collect();
        parts += 1;
    }
    assert!(parts > 3, "{parts} parts");
    let bodies = |all: &[millstream_store::compose::Composed]| -> Vec<(i64, Vec<u8>)> {
        all.iter().map(|one| (one.head.document_id, one.body.as_ref().expect("a body").clone())).collect()
    };
    assert_eq!(bodies(&composed), bodies(&whole));
}

#[tokio::test]
async fn cached_bodies_are_read_as_far_as_they_fit() {
    let world = World::cached().await;
    let client = world.database().get().await.expect("connected");
    let (mut seen, mut pages, mut after, mut bytes_max) = (0, 0, Uuid::nil(), 2 * KIB);
    loop {
        let part = cache::page_by_uuid(&client, after, 50, bytes_max).await.expect("a page");
        if part.documents.is_empty() {
            let Some(first) = part.deferred.first() else { break };
            bytes_max = first.bytes;
            continue;
        }
        bytes_max = 2 * KIB;
        assert!(part.documents.iter().all(|document| document.uuid > after));
        let ids: Vec<i64> = part.documents.iter().map(|document| document.document_id).collect();
        assert_eq!(cache::load(&client, &ids, usize::MAX).await.expect("loaded").documents.len(), ids.len());
        (seen, pages, after) = (seen + ids.len(), pages + 1, part.documents[ids.len() - 1].uuid);
    }
    assert_eq!(seen, world.planted.len());
    assert!(pages > 10, "{pages} pages");
}

#[tokio::test]
async fn an_audit_within_little_memory_finds_the_same() {
    let world = World::cached().await;
    world.damage(r#"UPDATE "dms"."DocumentCache" SET "Body" = "Body" || ' ' WHERE "DocumentId" % 7 = 0"#).await;
    let damaged = world.planted.iter().filter(|planted| planted.document_id % 7 == 0).count() as u64;
    let mut counts = Vec::new();
    for memory in [MemoryBudget::default(), MemoryBudget::new(256 * KIB)] {
        let options = VerifyOptions { memory: memory.clone(), ..VerifyOptions::default() };
        let mut ranges = 0;
        let report = verify(world.database(), &world.mapping, &options, &mut |_| ranges += 1).await.expect("audited");
        assert_eq!(report.differences[&DifferenceKind::CacheBody].count, damaged);
        counts.push((report.documents, report.rows, report.difference_count(), report.behind));
        assert!(memory.capacity() > 256 * KIB || ranges > 3, "{ranges} ranges");
    }
    assert_eq!(counts[0], counts[1]);
    assert_eq!(counts[0].0, world.planted.len() as u64);
}
