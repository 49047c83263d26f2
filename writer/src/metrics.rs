//! The metrics of this crate, each declared once.

millstream_pipeline::metric_table! {
    BATCH_DOCUMENTS: &str = "millstream_writer_batch_documents", Histogram, Count, "Documents of a batch of writes";
    BATCH_SECONDS: &str = "millstream_writer_batch_seconds", Histogram, Seconds,
        "Time from the start of a batch of writes until all of it is answered or on the single path";
    WAIT_SECONDS: &str = "millstream_writer_batch_wait_seconds", Histogram, Seconds,
        "Time from the arrival of a write in its lane until its batch begins";
    LANES_BUSY: &str = "millstream_writer_lanes_busy", Gauge, Count, "Lanes with a batch in progress";
    QUEUED: &str = "millstream_writer_queued", Gauge, Count, "Writes in a lane that are not answered";
    SINGLES: &str = "millstream_writer_singles_total", Counter, Count,
        "Writes of a batch that got a transaction of their own, by reason";
    BATCH_REPEATS: &str = "millstream_writer_batch_repeats_total", Counter, Count,
        "Batches that were rolled back and repeated, divided or given up, by reason";
    UNCHANGED: &str = "millstream_writer_batch_unchanged_total", Counter, Count,
        "Writes of a batch that changed nothing and needed no transaction";
}
