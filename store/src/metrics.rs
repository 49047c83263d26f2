//! The metrics of this crate, each declared once.

millstream_pipeline::metric_table! {
    RETRIES: &str = "millstream_store_retries_total", Counter, Count, "Transactions repeated, by operation and reason";
    EXHAUSTED: &str = "millstream_store_retries_exhausted_total", Counter, Count,
        "Operations given up after their last attempt, by operation and reason";
    ABANDONED: &str = "millstream_store_abandoned_statements_total", Counter, Count,
        "Statements whose caller stopped waiting: each is cancelled, and its session closed";
    LOCK_TIMEOUTS: &str = "millstream_store_lock_timeouts_total", Counter, Count,
        "Waits of writes for a lock that another transaction did not release in time";
}
