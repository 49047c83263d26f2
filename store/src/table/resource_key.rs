//! `dms.ResourceKey`: the resource types that documents are of.

use millstream_schema::apischema::ResourceKey;
use tokio_postgres::Client;

use super::query::{read_rows, row_struct, sql};
use crate::error::StoreError;

const ROWS: &str = sql!("resource_key_rows.sql");

row_struct! {
    struct ResourceKeyRow {
        id: i16 = "ResourceKeyId",
        project_name: String = "ProjectName",
        resource_name: String = "ResourceName",
        resource_version: String = "ResourceVersion",
    }
}

/// Reads all rows, ordered by key.
pub async fn rows(client: &Client) -> Result<Vec<ResourceKey>, StoreError> {
    let rows: Vec<ResourceKeyRow> = read_rows(&client.query(ROWS, &[]).await?)?;
    let key = |row: ResourceKeyRow| ResourceKey {
        id: row.id,
        project_name: row.project_name,
        resource_name: row.resource_name,
        resource_version: row.resource_version,
    };
    Ok(rows.into_iter().map(key).collect())
}
