//! A page of a collection.

use super::answer::{Found, composed, found_columns, from_cache, open_snapshot};
use super::{ReadDocument, ReadError};
use crate::connect::Database;
use crate::error::StoreError;
use crate::load::Caches;
use crate::query::{Condition, QueryError, QueryRequest, Selection, read_token, write_token};
use deadpool_postgres::GenericClient;
use millstream_schema::plan::{Mapping, ResourceIx, ResourcePlan};
use tokio_postgres::types::{ToSql, Type};

/// A page of documents, ordered by DocumentId.
#[derive(Debug, Default)]
pub struct Page {
    /// The documents.
    pub documents: Vec<ReadDocument>,
    /// How many match the filters, if that was asked for.
    pub total: Option<i64>,
    /// Where to go on. `None`: the page was not full, nothing follows.
    pub next_page_token: Option<String>,
}

/// Parameters before those of the filters: behind which document, limit, offset.
const PAGING_PARAMETERS: usize = 3;

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
    let (found, total) = statement.run(&client).await?;
    if found.iter().all(Found::is_current) {
        return Ok(statement.answer(from_cache_with_last(found), total));
    }
    let snapshot = open_snapshot(&mut client).await?;
    let (found, total) = statement.run(&snapshot).await?;
    let last = found.last().map(|found| found.head.document_id);
    let documents = composed(&snapshot, mapping, caches, found).await?;
    snapshot.commit().await?;
    Ok(statement.answer((documents, last), total))
}

fn from_cache_with_last(found: Vec<Found>) -> (Vec<ReadDocument>, Option<i64>) {
    let last = found.last().map(|found| found.head.document_id);
    (from_cache(found), last)
}

/// The statement of a page: which documents, decided on the root table alone; then their heads and cached bodies; and
/// the total, in the same snapshot.
struct PageStatement {
    key: i16,
    sql: String,
    condition: Condition,
    after: i64,
    limit: i64,
    offset: i64,
    with_total: bool,
}

impl PageStatement {
    fn new(plan: &ResourcePlan, condition: Condition, request: &QueryRequest, after: i64) -> Self {
        Self {
            key: plan.key,
            sql: page_sql(plan, &condition, request.total_count),
            condition,
            after,
            limit: i64::from(request.limit),
            offset: i64::try_from(request.offset).unwrap_or(i64::MAX),
            with_total: request.total_count,
        }
    }

    async fn run<C: GenericClient>(&self, client: &C) -> Result<(Vec<Found>, Option<i64>), StoreError> {
        let paging: [&(dyn ToSql + Sync); PAGING_PARAMETERS] = [&self.after, &self.limit, &self.offset];
        let parameters: Vec<_> = paging.into_iter().chain(self.condition.parameters()).collect();
        // Clients choose which fields they combine: only the one unfiltered statement of a type is kept prepared, or
        // the statements of a connection would be without bound.
        let statement = if self.condition.is_empty() {
            client.prepare_cached(&self.sql).await?
        } else {
            let types: Vec<Type> =
                [Type::INT8, Type::INT8, Type::INT8].into_iter().chain(self.condition.types()).collect();
            client.prepare_typed(&self.sql, &types).await?
        };
        let rows = client.query(&statement, &parameters).await?;
        let mut found = Vec::with_capacity(rows.len());
        let mut total = None;
        for row in &rows {
            total = row.try_get(0)?;
            // A total without documents is a row of its own.
            if row.try_get::<_, Option<i64>>(1)?.is_some() {
                found.push(Found::read(row, 1)?);
            }
        }
        Ok((found, total.filter(|_| self.with_total)))
    }

    fn answer(&self, (documents, last): (Vec<ReadDocument>, Option<i64>), total: Option<i64>) -> Page {
        let full = i64::try_from(documents.len()).is_ok_and(|count| count >= self.limit);
        let next_page_token = last.filter(|_| full).map(|last| write_token(self.key, last));
        Page { documents, total, next_page_token }
    }
}

fn page_sql(plan: &ResourcePlan, condition: &Condition, with_total: bool) -> String {
    let root = plan.tables.first().map_or("\"dms\".\"Descriptor\"", |table| table.qualified.as_str());
    let of_type = format!(r#"r."ResourceKeyId" = {}::int2"#, plan.key);
    let of_type: &[&str] = if plan.is_descriptor { &[of_type.as_str()] } else { &[] };
    let counted = condition.sql(of_type);
    let paged = condition.sql(&[of_type, &[r#"r."DocumentId" > $1::int8"#]].concat());
    let total = if with_total { format!("(SELECT count(*) FROM {root} r{counted})") } else { "NULL::int8".to_owned() };
    let columns = found_columns();
    // The total is joined from outside, so that it is there for an empty page as well.
    format!(
        r#"SELECT t."Total", q.*
  FROM (SELECT {total} AS "Total") t
  LEFT JOIN (
    SELECT {columns}
      FROM (SELECT r."DocumentId" FROM {root} r{paged} ORDER BY r."DocumentId" LIMIT $2::int8 OFFSET $3::int8) p
      JOIN "dms"."Document" d ON d."DocumentId" = p."DocumentId"
      LEFT JOIN "dms"."DocumentCache" c ON c."DocumentId" = p."DocumentId"
  ) q ON true
 ORDER BY q."DocumentId""#
    )
}
