//! The value columns of `dms.Descriptor`, the table of all descriptor types.

use super::table::ColumnType;

/// A value column of `dms.Descriptor`. The discriminant is its index in
/// [`TablePlan::columns`](super::TablePlan::columns).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DescriptorColumn {
    /// `namespace` of the body.
    Namespace,
    /// `codeValue` of the body.
    CodeValue,
    /// `shortDescription` of the body.
    ShortDescription,
    /// `description` of the body.
    Description,
    /// `effectiveBeginDate` of the body.
    EffectiveBeginDate,
    /// `effectiveEndDate` of the body.
    EffectiveEndDate,
    /// `namespace#codeValue`; filled in by the writer.
    Uri,
    /// The URI in lower case; filled in by the writer.
    UriLower,
    /// The descriptor's type; filled in by the writer.
    ResourceKeyId,
}

impl DescriptorColumn {
    /// All columns, in the order of the table.
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

    /// Returns the name of the column.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Namespace => "Namespace",
            Self::CodeValue => "CodeValue",
            Self::ShortDescription => "ShortDescription",
            Self::Description => "Description",
            Self::EffectiveBeginDate => "EffectiveBeginDate",
            Self::EffectiveEndDate => "EffectiveEndDate",
            Self::Uri => "Uri",
            Self::UriLower => "UriLower",
            Self::ResourceKeyId => "ResourceKeyId",
        }
    }

    /// Returns the column's index in [`TablePlan::columns`](super::TablePlan::columns).
    pub const fn index(self) -> usize {
        self as usize
    }

    /// Returns the storage type. `ResourceKeyId` is a `smallint`, read and written as [`ColumnType::Int4`].
    pub const fn column_type(self) -> ColumnType {
        match self {
            Self::EffectiveBeginDate | Self::EffectiveEndDate => ColumnType::Date,
            Self::ResourceKeyId => ColumnType::Int4,
            _ => ColumnType::Text,
        }
    }

    /// Returns whether the column is NOT NULL.
    pub const fn required(self) -> bool {
        !matches!(self, Self::Description | Self::EffectiveBeginDate | Self::EffectiveEndDate)
    }

    /// Returns whether an update keeps the stored value. The URI is immutable: an update may differ in case, and the
    /// stored casing stays (docs/design/edfi-api.md#edfi-6.9).
    pub const fn is_immutable(self) -> bool {
        matches!(self, Self::Namespace | Self::CodeValue | Self::Uri)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_columns_stand_in_the_order_of_the_table() {
        for (index, column) in DescriptorColumn::ALL.into_iter().enumerate() {
            assert_eq!(column.index(), index);
            assert_eq!(format!("{column:?}"), column.name());
        }
    }
}
