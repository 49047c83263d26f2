//! A rename must not break its dependents (docs/design/rules.md#rule-13): equality constraints between a changed
//! identity value and another value of a referring document are checked before anything is written.

use super::closure::Closure;
use super::recompute::Identities;
use crate::attempt::AttemptError;
use crate::error::WriteError;
use crate::upsert_request::UpsertRequest;
use millstream_schema::plan::{ColumnType, EqualityConstraint, ResourcePlan, TablePlan};
use millstream_schema::referential::canonical_number;
use millstream_store::table::query::column_index;
use millstream_store::table::{document, identity};
use millstream_store::transaction::{StatementRef, WriteTransaction, param};
use std::collections::HashMap;
use tokio_postgres::Row;

/// Maximum number of offending documents that a refusal names.
const EXAMPLES_MAX: usize = 5;

/// One side of an equality constraint.
#[derive(Clone, Copy)]
enum Side {
    /// A value of a referenced identity.
    Reference { site: usize, position: usize },
    /// A value column.
    Column { table: usize, column: usize },
}

/// A document that has both sides of a constraint.
struct Meeting {
    document_id: i64,
    left: i64,
    right: Right,
}

enum Right {
    Document(Option<i64>),
    Text(Option<String>),
}

/// Refuses a rename that would break a constraint, naming it and the first documents.
pub(super) async fn check(
    transaction: &WriteTransaction,
    request: &UpsertRequest<'_>,
    seed: i64,
    closure: &Closure,
    identities: &Identities,
) -> Result<(), AttemptError> {
    for resource in &request.mapping.resources {
        for constraint in &resource.equality_constraints {
            let sides = [side(resource, &constraint.source), side(resource, &constraint.target)];
            let [Some(source), Some(target)] = sides else { continue };
            for (left, right) in [(source, target), (target, source)] {
                check_pair(transaction, request, seed, closure, identities, resource, constraint, left, right).await?;
            }
        }
    }
    Ok(())
}

fn side(resource: &ResourcePlan, path: &str) -> Option<Side> {
    let (parent, leaf) = path.rsplit_once('.')?;
    if let Some(site) = resource.references.iter().position(|site| site.path == parent) {
        let member = resource.references[site].members.iter().find(|member| member.name == leaf)?;
        return Some(Side::Reference { site, position: member.position });
    }
    scalar_side(resource, path)
}

/// Finds a scalar's column by walking the body tree along the path.
fn scalar_side(resource: &ResourcePlan, path: &str) -> Option<Side> {
    use millstream_schema::plan::{Item, Node, Object};
    fn walk(object: &Object, path: &[&str]) -> Option<Side> {
        let (first, rest) = path.split_first()?;
        let name = first.trim_end_matches("[*]");
        let node = &object.members.iter().find(|member| member.name == name)?.node;
        match node {
            Node::Scalar { table, column, .. } if rest.is_empty() => {
                Some(Side::Column { table: *table, column: *column })
            }
            Node::Object(object) => walk(object, rest),
            Node::Array(array) => match &array.item {
                Item::Object(object) => walk(object, rest),
                Item::Value(_) => None,
            },
            Node::Extension(extension) => {
                let (project, rest) = rest.split_first()?;
                walk(&extension.projects.iter().find(|p| p.endpoint == *project)?.object, rest)
            }
            _ => None,
        }
    }
    walk(&resource.body, &path.trim_start_matches("$.").split('.').collect::<Vec<_>>())
}

#[allow(clippy::too_many_arguments)] // one call site; the pair is what varies
async fn check_pair(
    transaction: &WriteTransaction,
    request: &UpsertRequest<'_>,
    seed: i64,
    closure: &Closure,
    identities: &Identities,
    resource: &ResourcePlan,
    constraint: &EqualityConstraint,
    left: Side,
    right: Side,
) -> Result<(), AttemptError> {
    let Side::Reference { site, position } = left else { return Ok(()) };
    let plan = &resource.references[site];
    let changed = identities.changed_at(request.mapping, plan.target_key, position);
    if !plan.target_changeable || changed.is_empty() {
        return Ok(());
    }
    let bound = request.options.closure_max;
    let mut pipeline = transaction.pipeline()?;
    let limit = i64::try_from(bound).unwrap_or(i64::MAX).saturating_add(1);
    let answer: StatementRef<Row> =
        pipeline.add(meetings_sql(resource, site, right), vec![param(changed), param(limit)]);
    let mut meetings = read_meetings(pipeline.run().await?.raw(answer), right)?;
    // The renamed document's own body was validated as a whole.
    meetings.retain(|meeting| meeting.document_id != seed);
    if meetings.len() > bound {
        return Err(refusal(resource, constraint, &format!("more than {bound} items would have to be checked")).into());
    }
    let others = values_of_others(transaction, closure, &meetings).await?;
    let mut broken: Vec<i64> = Vec::new();
    for meeting in &meetings {
        let value = identities.get(meeting.left).and_then(|changed| changed.new.get(position));
        let other = match (&meeting.right, right) {
            (Right::Document(Some(id)), Side::Reference { position, .. }) => {
                let values = identities.get(*id).map(|changed| &changed.new).or_else(|| others.get(id));
                values.and_then(|values| values.get(position)).cloned()
            }
            (Right::Text(text), _) => text.clone(),
            _ => None,
        };
        if let (Some(value), Some(other)) = (value, other)
            && !same(value, &other)
            && broken.last() != Some(&meeting.document_id)
        {
            broken.push(meeting.document_id);
        }
    }
    if broken.is_empty() {
        return Ok(());
    }
    let count = broken.len();
    broken.truncate(EXAMPLES_MAX);
    let mut pipeline = transaction.pipeline()?;
    let uuids = document::add_uuids(&mut pipeline, broken);
    let first: Vec<String> = pipeline.run().await?.rows(uuids)?.iter().map(|row| row.uuid.to_string()).collect();
    Err(refusal(resource, constraint, &format!("{count} item(s) would break it, the first: {}", first.join(", ")))
        .into())
}

fn read_meetings(rows: &[Row], side: Side) -> Result<Vec<Meeting>, AttemptError> {
    let Some(first) = rows.first() else { return Ok(Vec::new()) };
    let (document, left, right) =
        (column_index(first, "Document")?, column_index(first, "Left")?, column_index(first, "Right")?);
    let meeting = |row: &Row| {
        let right = match side {
            Side::Reference { .. } => Right::Document(row.try_get(right)?),
            Side::Column { .. } => Right::Text(row.try_get(right)?),
        };
        Ok(Meeting { document_id: row.try_get(document)?, left: row.try_get(left)?, right })
    };
    rows.iter().map(meeting).collect()
}

fn same(a: &str, b: &str) -> bool {
    a == b || canonical_number(a).is_some_and(|number| Some(number) == canonical_number(b))
}

fn refusal(resource: &ResourcePlan, constraint: &EqualityConstraint, why: &str) -> WriteError {
    WriteError::RenameRefused {
        detail: format!(
            "The identity change conflicts with the rule of {} that {} equals {}: {why}.",
            resource.resource_name, constraint.source, constraint.target
        ),
    }
}

/// The statement that [`read_meetings`] reads: document, its reference on the left, and the value on the right, for
/// every place of the document's tables that has both.
fn meetings_sql(resource: &ResourcePlan, site: usize, right: Side) -> String {
    let site = &resource.references[site];
    let left_table = &resource.tables[site.table];
    let quoted = |table: &TablePlan, column: usize| format!("\"{}\"", table.columns[column].name.replace('"', "\"\""));
    let left = quoted(left_table, site.column);
    let (right_at, column) = match right {
        Side::Reference { site, .. } => (resource.references[site].table, resource.references[site].column),
        Side::Column { table, column } => (table, column),
    };
    let right_table = &resource.tables[right_at];
    let cast = match right_table.columns[column].ty {
        ColumnType::Document | ColumnType::Descriptor => "",
        _ => "::text",
    };
    let right = quoted(right_table, column);
    let key = |table: &TablePlan, at: usize| format!("\"{}\"", table.key_columns[at].replace('"', "\"\""));
    let shared = shared_depth(resource, site.table, right_at);
    let join: Vec<String> =
        (0..=shared).map(|at| format!("a.{} = b.{}", key(left_table, at), key(right_table, at))).collect();
    format!(
        "SELECT a.{} AS \"Document\", a.{left} AS \"Left\", b.{right}{cast} AS \"Right\" FROM {} a JOIN {} b ON {} WHERE a.{left} = ANY($1::int8[]) ORDER BY 1 LIMIT $2::int8",
        key(left_table, 0),
        left_table.qualified,
        right_table.qualified,
        join.join(" AND ")
    )
}

/// Ordinals that two tables of a resource have in common: those of their nearest common ancestor.
fn shared_depth(resource: &ResourcePlan, a: usize, b: usize) -> usize {
    let ancestors = |from: usize| std::iter::successors(Some(from), |at| resource.tables[*at].parent);
    let of_a: Vec<usize> = ancestors(a).collect();
    ancestors(b).find(|at| of_a.contains(at)).map_or(0, |at| resource.tables[at].depth)
}

async fn values_of_others(
    transaction: &WriteTransaction,
    closure: &Closure,
    meetings: &[Meeting],
) -> Result<HashMap<i64, Vec<String>>, AttemptError> {
    let mut ids: Vec<i64> = meetings
        .iter()
        .filter_map(|meeting| match meeting.right {
            Right::Document(id) => id.filter(|id| !closure.contains(*id)),
            Right::Text(_) => None,
        })
        .collect();
    ids.sort_unstable();
    ids.dedup();
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let mut pipeline = transaction.pipeline()?;
    let values = identity::values_of_own_type(&mut pipeline, ids);
    Ok(pipeline.run().await?.rows(values)?.into_iter().map(|row| (row.document_id, row.values)).collect())
}
