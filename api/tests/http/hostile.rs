//! Random requests: every response is a success or a problem caused by the client.

use crate::fakes::{Fake, ID, Started};
use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, Method, Request, header};
use millstream_api::problem::ProblemKind;
use proptest::prelude::*;
use std::sync::LazyLock;
use tokio::runtime::Runtime;

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().expect("a runtime"));
static API: LazyLock<Started> = LazyLock::new(|| Fake::default().start());

const METHODS: [&str; 8] = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "BREW"];
const HEADERS: [HeaderName; 8] = [
    header::IF_MATCH,
    header::IF_NONE_MATCH,
    header::CONTENT_TYPE,
    header::CONTENT_ENCODING,
    header::HOST,
    header::ACCEPT,
    header::CONTENT_LENGTH,
    header::EXPECT,
];

/// Targets with a valid beginning and an arbitrary rest.
fn target() -> impl Strategy<Value = String> {
    let beginning = prop::sample::select(vec![
        String::new(),
        "/".to_owned(),
        "/data/".to_owned(),
        "/data/meadow/students".to_owned(),
        format!("/data/meadow/students/{ID}"),
        "/data/meadow/students?limit=".to_owned(),
        "/data/meadow/students?firstName=a&".to_owned(),
    ]);
    (beginning, "[!$-;=?-Z_a-z~|]{0,30}|(%[0-9A-Fa-f]{2}|[a-z/?&=+]){0,12}")
        .prop_map(|(beginning, end)| beginning + &end)
}

fn header() -> impl Strategy<Value = (HeaderName, Vec<u8>)> {
    let value = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..20),
        r#"(W/|"|[0-9]|,|\*| |;|=|charset|application/json|\+){0,10}"#.prop_map(String::into_bytes),
    ];
    (prop::sample::select(HEADERS.to_vec()), value)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_request_gets_a_success_or_a_problem_of_its_own_making(
        method in prop::sample::select(METHODS.to_vec()),
        target in target(),
        headers in prop::collection::vec(header(), 0..4),
        body in prop::collection::vec(any::<u8>(), 0..50),
    ) {
        // A line that HTTP does not accept as a request is rejected earlier.
        let request = Request::builder().method(method).uri(&target).body(Body::from(body));
        prop_assume!(request.is_ok());
        let mut request = request.map_err(|error| TestCaseError::reject(error.to_string()))?;
        for (name, value) in headers {
            if let Ok(value) = HeaderValue::from_bytes(&value) {
                request.headers_mut().append(name, value);
            }
        }
        let answer = RUNTIME.block_on(API.send(request));
        prop_assert!(!answer.status.is_server_error(), "{:?}", answer);
        if answer.status.is_client_error() && Method::HEAD != method {
            let kind = ProblemKind::ALL.into_iter().find(|kind| answer.json()["type"] == kind.urn());
            answer.problem(kind.expect("a type that is listed"));
        }
    }
}
