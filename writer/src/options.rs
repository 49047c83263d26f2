//! Limits of the writer.

use std::time::Duration;

/// Limits on the size of an identity change (docs/design/rules.md#rule-12), and on its waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WriterOptions {
    /// `identity.closure_max`: documents whose ReferentialId one rename may rewrite.
    pub closure_max: usize,
    /// `identity.closure_depth_max`: levels of that closure.
    pub closure_depth_max: usize,
    /// `cascade.strict_max`: referrers outside the closure that the renaming transaction stamps itself. For more, it
    /// opens a cascade, which the projector works off.
    pub strict_max: usize,
    /// `database.lock_timeout_ms`: longest wait of a rename for a lock that does not stop other writers. The sessions
    /// of the writer's pool set the limit of all other writes.
    pub lock_timeout: Duration,
    /// Longest wait of a rename for one lock while it stops other writers. It makes a few such rounds.
    pub lock_round: Duration,
}

impl Default for WriterOptions {
    fn default() -> Self {
        Self {
            closure_max: 100_000,
            closure_depth_max: 16,
            strict_max: 1_000,
            lock_timeout: Duration::from_secs(5),
            lock_round: Duration::from_secs(1),
        }
    }
}
