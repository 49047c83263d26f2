//! Baseline for writing and reading: binary COPY of the same rows into and out of the same tables.

use crate::failure::Failure;
use crate::setup::Setup;
use bytes::Bytes;
use futures::{SinkExt, TryStreamExt, pin_mut};
use millstream_store::connect::{ConnectOptions, Session};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// The `dms` tables that a write fills, each with its document id column, in foreign key order.
const SHARED: [(&str, &str); 6] = [
    ("\"dms\".\"Document\"", "DocumentId"),
    ("\"dms\".\"ReferentialIdentity\"", "DocumentId"),
    ("\"dms\".\"IdentityLock\"", "DocumentId"),
    ("\"dms\".\"Descriptor\"", "DocumentId"),
    ("\"dms\".\"ReferenceEdge\"", "ParentDocumentId"),
    ("\"dms\".\"Outbox\"", "DocumentId"),
];

/// The rows of one table in the format of COPY BINARY.
pub(crate) struct TableRows {
    table: String,
    columns: String,
    chunks: Vec<Bytes>,
}

/// Returns all tables with their document id column, in foreign key order.
///
/// The documents after the base are in dependency order and have few types. The order in which their types first occur
/// therefore satisfies the foreign keys.
fn tables(setup: &Setup) -> Vec<(String, String)> {
    let mut all: Vec<(String, String)> =
        SHARED.iter().map(|(table, key)| ((*table).to_owned(), (*key).to_owned())).collect();
    let mapping = &setup.world.mapping;
    let mut seen = BTreeSet::new();
    for document in &setup.more {
        let Some(ix) = mapping.route(&document.project, &document.resource).filter(|ix| seen.insert(*ix)) else {
            continue;
        };
        let resource = mapping.resource(ix);
        if !resource.is_descriptor {
            all.extend(resource.tables.iter().map(|table| (table.qualified.clone(), table.key_columns[0].clone())));
        }
    }
    all
}

/// The newest document of a database.
pub(crate) async fn last_document(database: &ConnectOptions) -> Result<i64, Failure> {
    let session = Session::open(database).await?;
    Ok(session.query_one("SELECT max(\"DocumentId\") FROM \"dms\".\"Document\"", &[]).await?.get(0))
}

/// Reads from every table the rows of the documents whose id is above `above`.
pub(crate) async fn out(setup: &Setup, from: &ConnectOptions, above: i64) -> Result<Vec<TableRows>, Failure> {
    let session = Session::open(from).await?;
    let mut found = Vec::new();
    for (table, key) in tables(setup) {
        let columns = columns_of(&session, &table).await?;
        let sql = format!("COPY (SELECT {columns} FROM {table} WHERE \"{key}\" > {above}) TO STDOUT BINARY");
        let stream = session.copy_out(&sql).await?;
        let chunks: Vec<Bytes> = stream.try_collect().await?;
        found.push(TableRows { table, columns, chunks });
    }
    Ok(found)
}

/// Returns the column list of a table, without identity columns.
async fn columns_of(session: &Session, table: &str) -> Result<String, Failure> {
    let sql = "SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) FROM pg_attribute
        WHERE attrelid = $1::text::regclass AND attnum > 0 AND NOT attisdropped AND attidentity = ''";
    Ok(session.query_one(sql, &[&table]).await?.get(0))
}

/// Writes the rows to a database in one transaction, with all constraints and indexes, and returns the duration.
pub(crate) async fn into(rows: &[TableRows], database: &ConnectOptions) -> Result<Duration, Failure> {
    let session = Session::open(database).await?;
    let started = Instant::now();
    session.batch_execute("BEGIN").await?;
    for table in non_empty(rows) {
        let sql = format!("COPY {} ({}) FROM STDIN BINARY", table.table, table.columns);
        let sink = session.copy_in::<_, Bytes>(&sql).await?;
        pin_mut!(sink);
        for chunk in &table.chunks {
            sink.feed(chunk.clone()).await?;
        }
        sink.finish().await?;
    }
    session.batch_execute("COMMIT").await?;
    Ok(started.elapsed())
}

/// Returns the tables with rows. An empty COPY is a header of 19 bytes and a trailer of two.
fn non_empty(rows: &[TableRows]) -> impl Iterator<Item = &TableRows> {
    rows.iter().filter(|table| table.chunks.iter().map(Bytes::len).sum::<usize>() > 21)
}

/// Reads tables completely, discards the bytes and returns the duration.
pub(crate) async fn drain(session: &Session, tables: &[String]) -> Result<Duration, Failure> {
    let started = Instant::now();
    for table in tables {
        let stream = session.copy_out(&format!("COPY {table} TO STDOUT BINARY")).await?;
        pin_mut!(stream);
        while stream.try_next().await?.is_some() {}
    }
    Ok(started.elapsed())
}
