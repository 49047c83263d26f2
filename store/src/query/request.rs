//! A query on a collection, as the API passes it on.

/// A query on a collection.
#[derive(Debug, Clone, Default)]
pub struct QueryRequest {
    /// Query fields and the text to match, AND-ed; names match ignoring case.
    pub filters: Vec<(String, String)>,
    /// Maximum number of documents to return. 0 returns an empty page.
    pub limit: u32,
    /// Number of documents to skip before the first.
    pub offset: u64,
    /// Whether to count what matches the filters.
    pub total_count: bool,
    /// The token of the page to continue behind.
    pub page_token: Option<String>,
}
