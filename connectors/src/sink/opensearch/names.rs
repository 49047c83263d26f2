//! The names of indexes and aliases.
//!
//! With the prefix `millstream`, for generation 2:
//!
//! | name | purpose |
//! |---|---|
//! | `millstream.g2.ed-fi.students` | the index of one resource; created with its first delivery |
//! | `millstream.g2.descriptors` | the index of all descriptors; created with the generation and exists as long as it |
//! | `millstream.write.g2.ed-fi.students` | alias for deliveries: a write to a removed index fails (`require_alias`) |
//! | `millstream.generation.g2` | alias on `….g2.descriptors` that marks an existing generation |
//! | `millstream.live` | alias on the descriptors index of the live generation; it defines which generation is live |
//! | `millstream.read.ed-fi.students` | alias on the index of the live generation, for direct searches in OpenSearch |
//!
//! A prefix does not contain a dot, so a name under one prefix never matches the patterns of another prefix.

/// The names under one prefix.
#[derive(Debug, Clone)]
pub(super) struct IndexNames {
    prefix: String,
}

/// Name of the index that all descriptor types share.
pub(super) const DESCRIPTORS: &str = "descriptors";

impl IndexNames {
    pub(super) fn new(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned() }
    }

    /// Returns the name of the index template.
    pub(super) fn template(&self) -> &str {
        &self.prefix
    }

    /// Returns the pattern of the indexes of all generations. It also matches the `….generation.…` aliases, which
    /// resolve to these indexes.
    pub(super) fn all_indexes(&self) -> String {
        format!("{}.g*", self.prefix)
    }

    /// Returns the pattern of the indexes of a generation.
    pub(super) fn generation_indexes(&self, number: u32) -> String {
        format!("{}.g{number}.*", self.prefix)
    }

    pub(super) fn index(&self, number: u32, stem: &str) -> String {
        format!("{}.g{number}.{stem}", self.prefix)
    }

    pub(super) fn write(&self, number: u32, stem: &str) -> String {
        format!("{}.write.g{number}.{stem}", self.prefix)
    }

    pub(super) fn generation(&self, number: u32) -> String {
        format!("{}.generation.g{number}", self.prefix)
    }

    pub(super) fn live(&self) -> String {
        format!("{}.live", self.prefix)
    }

    pub(super) fn read(&self, stem: &str) -> String {
        format!("{}.read.{stem}", self.prefix)
    }

    /// Returns the pattern of all read aliases.
    pub(super) fn all_reads(&self) -> String {
        self.read("*")
    }

    /// Parses the generation and stem of an index; `None` for a foreign index.
    pub(super) fn parse<'a>(&self, index: &'a str) -> Option<(u32, &'a str)> {
        let (number, stem) = index.strip_prefix(&self.prefix)?.strip_prefix(".g")?.split_once('.')?;
        Some((number.parse().ok()?, stem))
    }
}

/// Returns the stem of a resource: the part of an index name that identifies it. Replaces characters that an index name
/// may not contain.
pub(super) fn stem(project_endpoint: &str, endpoint: &str) -> String {
    let plain = |name: &str| -> String {
        let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c.to_ascii_lowercase() } else { '_' };
        name.chars().map(plain).collect()
    };
    format!("{}.{}", plain(project_endpoint), plain(endpoint))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_name_parses_to_its_generation_and_stem() {
        let names = IndexNames::new("millstream");
        let index = names.index(12, &stem("ed-fi", "students"));
        assert_eq!(index, "millstream.g12.ed-fi.students");
        assert_eq!(names.parse(&index), Some((12, "ed-fi.students")));
        for foreign in ["millstream.read.x", "millstream.g", "millstream.gx.y", "millstream-2.g1.ed-fi.students", "x"] {
            assert_eq!(names.parse(foreign), None, "{foreign}");
        }
        assert_eq!(stem("Tenant X", "Schöler/../*"), "tenant_x.sch_ler_____");
    }
}
