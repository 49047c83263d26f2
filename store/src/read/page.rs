//! A page of a collection.

use super::answer::{AnswerPart, COPIES, composed, from_cache, is_current};
use super::document::{ReadDocument, ReadError};
use crate::connect::Database;
use crate::connect::GenericClient;
use crate::error::StoreError;
use crate::load::Caches;
use crate::query::{Condition, QueryError, QueryRequest, Selection, read_token, write_token};
use crate::table::descriptor::is_of_type;
use crate::table::document_body::{DocumentBody, PAGING_PARAMETERS, PageQuery, PageRows};
use millstream_pipeline::memory::{MemoryBudget, MemoryReservation};
use millstream_schema::plan::{Mapping, ResourceIx, ResourcePlan};
use std::sync::Arc;
use tokio_postgres::types::ToSql;

/// Most bytes of bodies on a page, and most bytes of rows that bodies of a page are composed from. A page behind a token
/// that has more is shorter than its limit; its token leads to the rest.
const PAGE_BYTES: usize = 8 << 20;

/// A page of documents, ordered by DocumentId.
#[derive(Debug, Default)]
pub struct Page {
    /// The documents.
    pub documents: Vec<ReadDocument>,
    /// The number of documents that match the filters, if the request asks for it.
    pub total: Option<i64>,
    /// Token of the next page. `None` if nothing follows: the page is shorter than its limit, and not for lack of
    /// memory.
    pub next_page_token: Option<String>,
    /// The memory that the answer takes.
    pub memory: Option<Arc<MemoryReservation>>,
}

/// Reads a page: as many documents as its limit says and as fit into memory, at least one if there is any.
///
/// Clients that page by offset advance by the limit, so a shorter page would make them skip documents. Without a token a
/// page is complete: it may take as much memory as there is for one operation, and is refused beyond that.
pub async fn page(
    database: &Database,
    mapping: &Mapping,
    caches: &Caches,
    memory: &MemoryBudget,
    resource: ResourceIx,
    request: &QueryRequest,
) -> Result<Page, ReadError> {
    let plan = mapping.resource(resource);
    let after = match &request.page_token {
        Some(token) => read_token(plan.key, token).ok_or(QueryError::BadPageToken)?,
        None => i64::MIN,
    };
    let condition = match Selection::of(plan, request, PAGING_PARAMETERS + 1)? {
        Selection::Where(condition) => condition,
        Selection::Nothing => {
            return Ok(Page { total: request.total_count.then_some(0), ..Page::default() });
        }
    };
    if request.limit == 0 && !request.total_count {
        return Ok(Page::default());
    }
    let mut statement = PageStatement::new(plan, condition, request, after, memory.portion(PAGE_BYTES));
    loop {
        let mut reserved = memory.reserve(statement.bytes_max.saturating_mul(COPIES)).await?;
        let (part, last, total) = read(database, mapping, caches, &statement).await?;
        if let Some(bytes) = part.deferred {
            let by_token = request.page_token.is_some();
            if part.documents.is_empty() && (by_token || statement.limit == 1) {
                // The first document needs more than a page may have: it is served alone.
                statement.limit = 1;
                statement.bytes_max = bytes.max(statement.bytes_max + 1);
                continue;
            }
            let whole = memory.portion(usize::MAX);
            if !by_token && statement.bytes_max < whole {
                statement.bytes_max = whole;
                continue;
            }
            if !by_token {
                return Err(QueryError::PageTooLarge { fitting: part.documents.len().max(1) }.into());
            }
        }
        let bytes = part.documents.iter().map(|document| document.body.len()).sum();
        reserved.shrink_to(bytes);
        return Ok(Page { memory: Some(Arc::new(reserved)), ..statement.answer(part, last, total) });
    }
}

/// Reads the leading documents of a page that fit, with the DocumentId of the last of them, and the total.
async fn read(
    database: &Database,
    mapping: &Mapping,
    caches: &Caches,
    statement: &PageStatement,
) -> Result<(AnswerPart, Option<i64>, Option<i64>), ReadError> {
    let mut client = database.get().await?;
    let PageRows { documents: found, total } = statement.run(&client).await?;
    if is_current(&found) {
        let ids = ids(&found);
        let part = from_cache(found);
        let last = last_of(&part, &ids);
        return Ok((part, last, total));
    }
    let snapshot = client.snapshot().await?;
    let PageRows { documents: found, total } = statement.run(&snapshot).await?;
    let ids = ids(&found);
    let part = composed(&snapshot, mapping, caches, found, statement.bytes_max).await?;
    snapshot.commit().await?;
    let last = last_of(&part, &ids);
    Ok((part, last, total))
}

fn ids(found: &[DocumentBody]) -> Vec<i64> {
    found.iter().map(|found| found.head.document_id).collect()
}

fn last_of(part: &AnswerPart, ids: &[i64]) -> Option<i64> {
    part.documents.len().checked_sub(1).and_then(|last| ids.get(last)).copied()
}

/// The statement of a page with its parameters: which documents, decided on the root table alone; then their heads and
/// cached bodies; and the total, in the same snapshot.
struct PageStatement {
    key: i16,
    query: PageQuery,
    condition: Condition,
    after: i64,
    limit: i64,
    offset: i64,
    with_total: bool,
    bytes_max: usize,
}

impl PageStatement {
    fn new(plan: &ResourcePlan, condition: Condition, request: &QueryRequest, after: i64, bytes_max: usize) -> Self {
        let of_type = is_of_type(plan.key);
        let of_type: &[&str] = if plan.is_descriptor { &[of_type.as_str()] } else { &[] };
        let counted = condition.sql(of_type);
        let paged = condition.sql(&[of_type, &[r#"r."DocumentId" > $1::int8"#]].concat());
        let types = (!condition.is_empty()).then(|| condition.types().collect());
        Self {
            key: plan.key,
            query: PageQuery::new(plan, &counted, &paged, request.total_count, types),
            condition,
            after,
            limit: i64::from(request.limit),
            offset: i64::try_from(request.offset).unwrap_or(i64::MAX),
            with_total: request.total_count,
            bytes_max,
        }
    }

    async fn run<C: GenericClient>(&self, client: &C) -> Result<PageRows, StoreError> {
        let bytes_max = i64::try_from(self.bytes_max).unwrap_or(i64::MAX);
        let paging: [&(dyn ToSql + Sync); PAGING_PARAMETERS] = [&self.after, &self.limit, &self.offset, &bytes_max];
        let parameters: Vec<_> = paging.into_iter().chain(self.condition.parameters()).collect();
        self.query.run(client, &parameters).await
    }

    fn answer(&self, part: AnswerPart, last: Option<i64>, total: Option<i64>) -> Page {
        let AnswerPart { documents, deferred } = part;
        let full = i64::try_from(documents.len()).is_ok_and(|count| count >= self.limit);
        let next_page_token = last.filter(|_| full || deferred.is_some()).map(|last| write_token(self.key, last));
        Page { documents, total: total.filter(|_| self.with_total), next_page_token, memory: None }
    }
}
