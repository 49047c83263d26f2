//! `/search/{project}/{endpoint}`: what a search over a copy of the documents finds.
//!
//! The parameters are read, and the query is defined, by `millstream-search`; here they come in and the answer goes out.
//! The copy follows the documents: who has just written and wants to find it sends the version of the write as
//! `X-Millstream-Min-Version`.

mod answer;
mod min_version;

pub(crate) use min_version::check_min_version;
pub use min_version::{CopyWait, ReadCopy, WaitError, Waited};

use crate::data::{Address, JSON, Segments};
use crate::problem::{Problem, ProblemKind};
use crate::request::pairs;
use crate::routes::Shared;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{Method, header};
use axum::response::{IntoResponse, Response};
use millstream_search::{QueryOptions, SearchError, SearchQuery};
use std::sync::Arc;

const METHODS: &str = "GET, HEAD";
/// Documents of a page at most, whatever the configuration allows reads by key: OpenSearch answers with 10,000 at a time,
/// and one more than asked for shows whether there are more.
const LIMIT_MAX: u32 = 9_999;

pub(crate) async fn search(
    State(api): State<Arc<Shared>>,
    segments: Segments,
    request: Request,
) -> Result<Response, Problem> {
    let address = Address::resolve(&api, segments)?;
    if ![Method::GET, Method::HEAD].contains(request.method()) {
        return Err(Problem::method_not_allowed(METHODS));
    }
    let Some(search) = &api.extras.search else {
        let detail = "This server offers no search. Its operator has to configure a sink that can be searched, and name \
                      it in the setting 'search.sink'.";
        return Err(Problem::new(ProblemKind::NotFound, detail));
    };
    let parameters = pairs(request.uri().query())?;
    let limit_max = api.options.limit_max.min(LIMIT_MAX);
    let options = QueryOptions { limit_default: api.options.limit_default.min(limit_max), limit_max };
    let query = SearchQuery::parse(search.model.resource(address.resource), &parameters, &options)
        .map_err(|errors| Problem::bad_parameters(errors.into_iter().map(|error| error.message)))?;
    min_version::wait_for_search(&api, request.headers()).await?;
    let page = millstream_search::search(search.engine.as_ref(), &query).await?;
    Ok(([(header::CONTENT_TYPE, JSON)], Body::from(answer::write(&page))).into_response())
}

impl From<SearchError> for Problem {
    fn from(error: SearchError) -> Self {
        match error {
            SearchError::Unavailable { .. } => {
                Self::unavailable("The search cannot be reached now. Try again.").because(error.to_string())
            }
            SearchError::Failed { .. } => Self::defect(&error),
        }
    }
}
