//! One cascade worker: pages of the oldest open cascade, for as long as there is one.

use super::work_off_page;
use crate::context::Context;
use crate::error::ProjectorError;
use tokio_util::sync::CancellationToken;

/// Works until it is told to stop; then it finishes the page in hand.
///
/// Open cascades are found in the table, never remembered: at the start, when a rename has become visible, and by a slow
/// scan that also finds what was opened while nobody followed the changes.
///
/// # Errors
/// None: whatever fails is logged and tried again, the table keeps the progress.
pub(crate) async fn work(context: &Context, stop: &CancellationToken) -> Result<(), ProjectorError> {
    let (clock, options) = (&context.deps.clock, context.options());
    let mut failures = 0;
    while !stop.is_cancelled() {
        let pause = match work_off_page(&context.deps.database, options.cascade_page).await {
            Ok(Some(page)) => {
                failures = 0;
                context.counters.pages.add(1);
                context.counters.stamped.add(page.stamped);
                context.counters.cascades_finished.add(usize::from(page.finished));
                continue;
            }
            Ok(None) => {
                failures = 0;
                options.cascade_scan_interval
            }
            Err(error) => {
                failures += 1;
                context.counters.cascade_failures.add(1);
                let delay = options.outage_backoff.delay(failures);
                context.will_retry(&error, delay);
                delay
            }
        };
        tokio::select! {
            () = stop.cancelled() => break,
            () = context.cascade_opened.notified() => {}
            () = clock.sleep(pause) => {}
        }
    }
    Ok(())
}
