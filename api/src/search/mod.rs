//! `/search/{project}/{endpoint}`: searches over a copy of the documents.
//!
//! `millstream-search` defines and parses the query. The copy lags behind the documents: a client that has to find its own
//! write sends the version of that write as `X-Millstream-Min-Version`.

mod body;

use crate::address::{Address, Segments};
use crate::media::JSON;
use crate::min_version::wait_for_search;
use crate::problem::{Problem, ProblemKind};
use crate::request::pairs;
use crate::state::ApiState;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{Method, header};
use axum::response::{IntoResponse, Response};
use millstream_search::{QueryOptions, SearchError, SearchQuery, project};
use std::sync::Arc;
use tokio::task::{self, JoinError};

const METHODS: &str = "GET, HEAD";
/// Largest page, whatever the configuration allows for `/data`: OpenSearch returns 10,000 documents at a time, and one more
/// than requested shows whether there are more.
const LIMIT_MAX: u32 = 9_999;
/// Largest page whose documents are parsed, for `fields=`, by the task of its request.
const INLINE_MAX_BYTES: usize = 256 * 1024;

pub(crate) async fn search(
    State(api): State<Arc<ApiState>>,
    segments: Segments,
    request: Request,
) -> Result<Response, Problem> {
    let address = Address::resolve(&api, segments)?;
    if ![Method::GET, Method::HEAD].contains(request.method()) {
        return Err(Problem::method_not_allowed(METHODS));
    }
    let Some(search) = &api.extras.search else {
        let detail = "Search is not available on this server. Its operator has to configure a sink that can be searched, and name \
                      it in the setting 'search.sink'.";
        return Err(Problem::new(ProblemKind::NotFound, detail));
    };
    let parameters = pairs(request.uri().query())?;
    let limit_max = api.options.limit_max.min(LIMIT_MAX);
    let options = QueryOptions { limit_default: api.options.limit_default.min(limit_max), limit_max };
    let query = SearchQuery::parse(search.model.resource(address.resource), &parameters, &options)
        .map_err(|errors| Problem::bad_parameters(errors.into_iter().map(|error| error.message)))?;
    let admission = api.admit()?;
    wait_for_search(&api, request.headers()).await?;
    let page = search.engine.search(&query).await?;
    let size: usize = page.documents.iter().map(|hit| hit.body.len()).sum();
    let is_large = size > INLINE_MAX_BYTES;
    let engine = Arc::clone(&search.engine);
    let render = move || {
        // A client that hangs up frees nothing until the work has ended.
        let _admission = admission;
        Ok::<_, SearchError>(body::write(&project(engine.as_ref(), &query, page)?))
    };
    let bytes = if is_large { task::spawn_blocking(render).await.map_err(panicked)?? } else { render()? };
    Ok(([(header::CONTENT_TYPE, JSON)], Body::from(bytes)).into_response())
}

fn panicked(error: JoinError) -> Problem {
    match error.try_into_panic() {
        Ok(payload) => Problem::panicked(&*payload),
        Err(cancelled) => Problem::defect(&cancelled),
    }
}

impl From<SearchError> for Problem {
    fn from(error: SearchError) -> Self {
        match error {
            SearchError::Unavailable { .. } => {
                Self::unavailable("The search cannot be reached at the moment. Try again.").because(error.to_string())
            }
            SearchError::Refused { reason } => Self::bad_parameters([reason]),
            SearchError::Failed { .. } => Self::defect(&error),
        }
    }
}
