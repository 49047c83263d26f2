//! Every query field of every resource of the published schema is a statement that PostgreSQL accepts.

use crate::site::Site;
use axum::http::StatusCode;
use futures::{StreamExt, stream};
use millstream_schema::plan::{ColumnType, QueryField, QueryKind};
use millstream_testkit::World;

/// A value that fits the field.
fn value(field: &QueryField) -> Option<&'static str> {
    Some(match field.paths.first()?.kind {
        QueryKind::Descriptor { .. } => "uri%3A%2F%2Fexample.org%23x",
        QueryKind::Uuid => "0420a54c-16df-4fff-8f48-d87d35e71fe7",
        QueryKind::Value(ColumnType::Bool) => "true",
        QueryKind::Value(ColumnType::Date) => "2031-08-20",
        QueryKind::Value(ColumnType::Time) => "09:15:00",
        QueryKind::Value(ColumnType::Timestamp) => "2031-08-20T09:15:00Z",
        QueryKind::Value(_) => "7",
    })
}

#[tokio::test]
async fn every_field_can_be_asked_for() {
    let Some(world) = World::corpus_or_skip() else { return };
    let site = Site::of(world).await;
    let requests = world.mapping.resources.iter().flat_map(|resource| {
        resource.query_fields.values().map(move |field| {
            let collection = format!("/data/{}/{}", resource.project_endpoint, resource.endpoint);
            (format!("{collection}?{}={}", field.name, value(field).unwrap_or("x")), field.paths.is_empty())
        })
    });
    let requests: Vec<(String, bool)> = requests.collect();
    let asked = requests.len();
    let answers = stream::iter(requests).map(|(path, is_unsupported)| {
        let site = &site;
        async move {
            let answer = site.get(&path).await;
            if is_unsupported {
                answer.assert_problem(400, "bad-request");
            } else {
                assert_eq!((answer.status, &*answer.body), (StatusCode::OK, &b"[]"[..]), "{path}: {answer:?}");
            }
            usize::from(is_unsupported)
        }
    });
    let unsupported: usize = answers.buffer_unordered(8).fold(0, |sum, one| std::future::ready(sum + one)).await;
    assert!(asked > 3_000, "{asked}");
    assert_eq!(unsupported, 2, "the two paths of the Sample schema that exist nowhere (docs/design/rules.md#rule-16)");
}
