//! A page of a collection.

use super::answer::{composed, from_cache, open_snapshot};
use super::document::{ReadDocument, ReadError};
use crate::connect::Database;
use crate::error::StoreError;
use crate::load::Caches;
use crate::query::{Condition, QueryError, QueryRequest, Selection, read_token, write_token};
use crate::table::descriptor::is_of_type;
use crate::table::document_body::{DocumentBody, PAGING_PARAMETERS, PageQuery, PageRows};
use deadpool_postgres::GenericClient;
use millstream_schema::plan::{Mapping, ResourceIx, ResourcePlan};
use tokio_postgres::types::ToSql;

/// A page of documents, ordered by DocumentId.
#[derive(Debug, Default)]
pub struct Page {
    /// The documents.
    pub documents: Vec<ReadDocument>,
    /// The number of documents that match the filters, if the request asks for it.
    pub total: Option<i64>,
    /// Token of the next page. `None` if the page was not full: nothing follows.
    pub next_page_token: Option<String>,
}

/// Reads a page.
pub async fn page(
    database: &Database,
    mapping: &Mapping,
    caches: &Caches,
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
    let statement = PageStatement::new(plan, condition, request, after);
    let mut client = database.get().await?;
    let PageRows { documents: found, total } = statement.run(&client).await?;
    if found.iter().all(|found| found.body.is_some()) {
        let last = last_id(&found);
        return Ok(statement.answer(from_cache(found), last, total));
    }
    let snapshot = open_snapshot(&mut client).await?;
    let PageRows { documents: found, total } = statement.run(&snapshot).await?;
    let last = last_id(&found);
    let documents = composed(&snapshot, mapping, caches, found).await?;
    snapshot.commit().await?;
    Ok(statement.answer(documents, last, total))
}

fn last_id(found: &[DocumentBody]) -> Option<i64> {
    found.last().map(|found| found.head.document_id)
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
}

impl PageStatement {
    fn new(plan: &ResourcePlan, condition: Condition, request: &QueryRequest, after: i64) -> Self {
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
        }
    }

    async fn run<C: GenericClient>(&self, client: &C) -> Result<PageRows, StoreError> {
        let paging: [&(dyn ToSql + Sync); PAGING_PARAMETERS] = [&self.after, &self.limit, &self.offset];
        let parameters: Vec<_> = paging.into_iter().chain(self.condition.parameters()).collect();
        self.query.run(client, &parameters).await
    }

    fn answer(&self, documents: Vec<ReadDocument>, last: Option<i64>, total: Option<i64>) -> Page {
        let full = i64::try_from(documents.len()).is_ok_and(|count| count >= self.limit);
        let next_page_token = last.filter(|_| full).map(|last| write_token(self.key, last));
        Page { documents, total: total.filter(|_| self.with_total), next_page_token }
    }
}
