//! Generations: built beside the live one, swapped, swapped back, removed.

use millstream_connectors::opensearch::OpenSearchIndexes;
use millstream_projector::sink::generations::{Generation, Generations};
use millstream_projector::sink::SinkError;
use millstream_testkit::OpenSearchNode;

use crate::support::{assert_all_done, new_prefix, open, options, state, upsert};

fn numbers(all: &[Generation]) -> Vec<(u32, bool)> {
    all.iter().map(|generation| (generation.number, generation.live)).collect()
}

#[tokio::test]
async fn a_generation_is_built_swapped_in_and_rolled_back() {
    let url = OpenSearchNode::shared().await.url();
    let (indexes, first) = open(options(&url, &new_prefix())).await;
    assert_all_done(&first.put(&[upsert(1, 5, "one"), upsert(2, 5, "two")]).await);
    let number = indexes.create().await.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(number, 2);
    let second = indexes.sink(2).expect("a sink");
    second.prepare().await.unwrap_or_else(|error| panic!("{error}"));
    assert!(state(&*second).await.is_empty());
    assert_all_done(&second.put(&[upsert(1, 6, "one"), upsert(2, 5, "two"), upsert(3, 7, "three")]).await);
    assert_eq!(state(&*first).await.len(), 2, "each holds its own");
    assert_eq!(state(&*second).await.len(), 3);

    indexes.swap(2).await.unwrap_or_else(|error| panic!("{error}"));
    let all = indexes.list().await.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(numbers(&all), [(1, false), (2, true)]);
    assert!(all.iter().all(|generation| generation.mapping_current && generation.bytes > 0), "{all:?}");
    assert_eq!(all.iter().map(|generation| generation.documents).collect::<Vec<_>>(), [2, 3]);
    let Err(SinkError::Unfit { differences, .. }) = indexes.remove(2).await else { panic!("it is live") };
    assert!(differences[0].contains("is live"), "{differences:?}");

    indexes.swap(1).await.unwrap_or_else(|error| panic!("{error}"));
    indexes.swap(1).await.expect("again is harmless");
    assert_eq!(indexes.live().await.expect("a live one"), 1);
    indexes.remove(2).await.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(numbers(&indexes.list().await.expect("a list")), [(1, true)]);
    for absent in [2, 7] {
        assert!(matches!(indexes.swap(absent).await, Err(SinkError::Unfit { .. })), "{absent}");
        assert!(matches!(indexes.remove(absent).await, Err(SinkError::Unfit { .. })), "{absent}");
    }
    assert!(indexes.sink(0).is_err());
}

#[tokio::test]
async fn many_processes_that_begin_at_once_make_one_generation() {
    let url = OpenSearchNode::shared().await.url();
    let prefix = new_prefix();
    let all: Vec<OpenSearchIndexes> =
        (0..4).map(|_| OpenSearchIndexes::new(options(&url, &prefix)).expect("the options are right")).collect();
    let live = futures::future::join_all(all.iter().map(Generations::live)).await;
    let first = *live[0].as_ref().unwrap_or_else(|error| panic!("{error}"));
    for live in live {
        assert_eq!(live.unwrap_or_else(|error| panic!("{error}")), first);
    }
    let made = futures::future::join_all(all.iter().map(Generations::create)).await;
    let mut made: Vec<u32> = made.into_iter().map(|made| made.unwrap_or_else(|error| panic!("{error}"))).collect();
    made.sort_unstable();
    made.dedup();
    assert_eq!(made.len(), 4, "each made its own");
}
