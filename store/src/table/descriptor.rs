//! `dms.Descriptor`.

use deadpool_postgres::GenericClient;
use millstream_schema::plan::{DESCRIPTOR_COLUMNS, ResourceKeyId};

use super::query::{query_cached, read_rows, row_struct, sql};
use crate::error::StoreError;
use crate::transaction::pipeline::{Param, Pipeline};

const BY_ID: &str = sql!("descriptor_by_id.sql");
/// Leaves out what a descriptor never changes: see [`DescriptorColumn::is_immutable`].
const UPDATE: &str = sql!("descriptor_update.sql");

/// The value columns of the table, in the order of `TablePlan::columns`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DescriptorColumn {
    /// First half of the URI.
    Namespace,
    /// Second half of the URI.
    CodeValue,
    /// The label.
    ShortDescription,
    /// The text.
    Description,
    /// First day of validity.
    EffectiveBeginDate,
    /// Last day of validity.
    EffectiveEndDate,
    /// `Namespace#CodeValue` as first written. Filled in by the writer, as are the next two.
    Uri,
    /// The URI in lower case, for comparison.
    UriLower,
    /// The descriptor type.
    ResourceKeyId,
}

impl DescriptorColumn {
    /// All of them, in order.
    pub const ALL: [Self; 9] = [
        Self::Namespace,
        Self::CodeValue,
        Self::ShortDescription,
        Self::Description,
        Self::EffectiveBeginDate,
        Self::EffectiveEndDate,
        Self::Uri,
        Self::UriLower,
        Self::ResourceKeyId,
    ];

    /// Its index in `TablePlan::columns`.
    pub const fn index(self) -> usize {
        self as usize
    }

    /// Its name.
    pub const fn name(self) -> &'static str {
        DESCRIPTOR_COLUMNS[self.index()]
    }

    /// Whether an update leaves the column as it is: the URI is immutable, a difference in case is accepted and the
    /// stored casing stays (docs/design/edfi-api.md#edfi-6.9).
    pub const fn is_immutable(self) -> bool {
        matches!(self, Self::Namespace | Self::CodeValue | Self::Uri)
    }
}

row_struct! {
    /// A descriptor as a referrer needs it.
    #[derive(Debug, Clone)]
    pub struct DescriptorUri {
        /// The descriptor's document.
        pub document_id: i64 = "DocumentId",
        /// Its URI.
        pub uri: Box<str> = "Uri",
        /// Its type.
        pub key: ResourceKeyId = "ResourceKeyId",
    }
}

/// Reads descriptors by DocumentId.
pub async fn by_id<C: GenericClient>(client: &C, ids: &[i64]) -> Result<Vec<DescriptorUri>, StoreError> {
    read_rows(&query_cached(client, BY_ID, &[&ids]).await?)
}

/// Adds the update of descriptors; `parameters` are the ids and one array per [`DescriptorColumn`].
pub fn update(pipeline: &mut Pipeline<'_>, parameters: Vec<Param>) {
    pipeline.execute(UPDATE, parameters);
}

/// SQL of the DocumentId of the descriptor of a type whose lower-case URI is the parameter `uri_lower` (such as `$4`).
pub(crate) fn id_by_uri(uri_lower: &str, key: ResourceKeyId) -> String {
    format!(
        r#"(SELECT z."DocumentId" FROM "dms"."Descriptor" z WHERE z."UriLower" = {uri_lower} AND z."ResourceKeyId" = {key}::int2)"#
    )
}

/// SQL condition that the `dms.Descriptor` row under the alias `r` is of a type.
pub(crate) fn is_of_type(key: ResourceKeyId) -> String {
    format!(r#"r."ResourceKeyId" = {key}::int2"#)
}

#[cfg(test)]
mod tests {
    use super::DescriptorColumn;

    #[test]
    fn the_columns_stand_in_the_order_of_the_plan() {
        for (index, column) in DescriptorColumn::ALL.into_iter().enumerate() {
            assert_eq!(column.index(), index);
            assert_eq!(format!("{column:?}"), column.name());
        }
    }
}
