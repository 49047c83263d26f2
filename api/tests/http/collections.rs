//! Pages: their bytes, their headers, their parameters.

use crate::fakes::{Fake, document};
use axum::http::StatusCode;
use millstream_api::ApiOptions;
use millstream_api::problem::ProblemKind;
use millstream_store::query::{QueryError, QueryRequest};
use millstream_store::read::{Page, ReadError};
use uuid::Uuid;

const STUDENTS: &str = "/data/meadow/students";

#[tokio::test]
async fn a_page_holds_the_bytes_of_its_documents() {
    for count in [0, 1, 3] {
        let documents = move || (1..=count).map(|n| document(Uuid::from_u128(n), 7));
        let page = Box::new(move |_: &QueryRequest| Ok(Page { documents: documents().collect(), ..Page::default() }));
        let api = Fake { page, ..Fake::default() }.start();
        let answer = api.ask("GET", STUDENTS).await;
        assert_eq!((answer.status, answer.header("etag")), (StatusCode::OK, None));
        assert_eq!((answer.header("total-count"), answer.header("next-page-token")), (None, None));
        let bodies: Vec<String> = documents()
            .map(|document| {
                let mut bytes = Vec::new();
                document.append_to(&mut bytes);
                String::from_utf8(bytes).expect("UTF-8")
            })
            .collect();
        assert_eq!(answer.body, format!("[{}]", bodies.join(",")));
        assert_eq!(answer.json().as_array().map(Vec::len), usize::try_from(count).ok());
    }
}

#[tokio::test]
async fn total_and_token_are_headers() {
    let page = Box::new(|_: &QueryRequest| {
        Ok(Page { total: Some(123), next_page_token: Some("a0001".to_owned()), ..Page::default() })
    });
    let answer = Fake { page, ..Fake::default() }.start().ask("GET", STUDENTS).await;
    assert_eq!((answer.header("total-count"), answer.header("next-page-token")), (Some("123"), Some("a0001")));
    assert_eq!(answer.body, "[]");
}

#[tokio::test]
async fn parameters_reach_the_reader() {
    let api = Fake::default().start();
    api.ask("GET", &format!("{STUDENTS}?limit=5&offset=10&totalCount=true&FIRSTNAME=Ana%20Mar%C3%ADa")).await;
    api.ask("GET", &format!("{STUDENTS}?pageToken=abc")).await;
    let queries = api.queries();
    let first = &queries[0];
    assert_eq!((first.limit, first.offset, first.total_count, first.page_token.as_deref()), (5, 10, true, None));
    assert_eq!(first.filters, [("FIRSTNAME".to_owned(), "Ana María".to_owned())]);
    assert_eq!((queries[1].limit, queries[1].page_token.as_deref()), (25, Some("abc")));
}

#[tokio::test]
async fn bad_parameters_are_all_named_with_what_is_allowed() {
    let options = ApiOptions { limit_max: 40, ..ApiOptions::default() };
    let api = Fake { options, ..Fake::default() }.start();
    let answer = api.ask("GET", &format!("{STUDENTS}?limit=41&offset=-1&totalCount=perhaps")).await;
    let problem = answer.problem(ProblemKind::ParameterValidationFailed);
    let errors: Vec<&str> = problem["errors"].as_array().expect("a list").iter().filter_map(|e| e.as_str()).collect();
    assert_eq!(errors.len(), 3, "{errors:?}");
    assert!(errors[0].contains("'41'") && errors[0].contains("from 0 to 40"), "{errors:?}");
    assert!(errors[2].contains("true or false"), "{errors:?}");
    api.ask("GET", &format!("{STUDENTS}?firstName=a&firstname=b"))
        .await
        .problem(ProblemKind::ParameterValidationFailed);
    api.ask("GET", &format!("{STUDENTS}?firstName=%FF")).await.problem(ProblemKind::BadRequest);
    assert!(api.queries().is_empty(), "nothing was asked of the database");
}

#[tokio::test]
async fn what_the_reader_cannot_ask_is_the_clients_doing() {
    let field = || "x".to_owned();
    let cases = [
        (
            QueryError::UnknownField { field: field() },
            ProblemKind::BadRequest,
            "The query field 'x' is not valid for this resource.",
        ),
        (QueryError::NotSupported { field: field() }, ProblemKind::BadRequest, "not supported"),
        (
            QueryError::BadValue { field: field(), value: "abc".to_owned(), expected: "a whole number" },
            ProblemKind::ParameterValidationFailed,
            "a whole number",
        ),
        (QueryError::BadPageToken, ProblemKind::ParameterValidationFailed, "pageToken"),
    ];
    for (error, kind, expected) in cases {
        let page = Box::new(move |_: &QueryRequest| Err(ReadError::Query(error.clone())));
        let answer = Fake { page, ..Fake::default() }.start().ask("GET", &format!("{STUDENTS}?x=abc")).await;
        let message = answer.problem(kind)["errors"][0].as_str().map(str::to_owned);
        assert!(message.as_deref().is_some_and(|message| message.contains(expected)), "{message:?}");
    }
}
