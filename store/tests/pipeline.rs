//! Pipelines: all statements of a step are sent, or none.

mod support;

use millstream_store::transaction::{WriteTransaction, param};
use support::World;

#[tokio::test]
async fn a_step_with_a_statement_that_cannot_be_encoded_commits_nothing() {
    let world = World::new().await;
    world.execute(r#"CREATE TABLE public."Step" (n bigint NOT NULL)"#).await;
    let insert = r#"INSERT INTO public."Step" VALUES ($1)"#;
    let rows = async || -> i64 {
        let client = world.database().get().await.expect("connected");
        client.query_one(r#"SELECT count(*) FROM public."Step""#, &[]).await.expect("counted").get(0)
    };
    // A text is not a bigint: the driver refuses to encode it.
    for parameters in [vec![param("two")], vec![]] {
        let mut transaction = WriteTransaction::open(world.database()).await.expect("opened");
        let mut pipeline = transaction.begin().expect("begun");
        pipeline.execute(insert, vec![param(1_i64)]);
        pipeline.execute(insert, parameters);
        pipeline.execute(insert, vec![param(3_i64)]);
        pipeline.commit();
        let error = pipeline.run().await.map(drop).expect_err("it cannot be encoded");
        assert!(error.to_string().contains("parameter"), "{error}");
        drop(transaction);
        assert_eq!(rows().await, 0, "the other statements were not committed");
    }

    let mut transaction = WriteTransaction::open(world.database()).await.expect("opened");
    let mut pipeline = transaction.begin().expect("begun");
    pipeline.execute(insert, vec![param(1_i64)]);
    pipeline.commit();
    pipeline.run().await.expect("committed");
    transaction.committed();
    assert_eq!(rows().await, 1);
}
