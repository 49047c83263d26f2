//! Limits of the writer.

/// Limits on the size of an identity change (docs/design/rules.md#rule-12).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WriterOptions {
    /// `identity.closure_max`: documents whose ReferentialId one rename may rewrite.
    pub closure_max: usize,
    /// `identity.closure_depth_max`: levels of that closure.
    pub closure_depth_max: usize,
    /// `cascade.strict_max`: referrers outside the closure that the renaming transaction stamps itself. For more, it
    /// opens a cascade, which the projector works off.
    pub strict_max: usize,
}

impl Default for WriterOptions {
    fn default() -> Self {
        Self { closure_max: 100_000, closure_depth_max: 16, strict_max: 1_000 }
    }
}
