//! The dispatcher: posts lines concurrently, and repeats a line that may have come too early when its turn comes.

use super::{
    account::Account,
    error::LoadError,
    line::{BadLine, Line},
    post::{PassingFailure, PostResult, Poster, RefusedResponse},
    progress::Progress,
    refused::RefusedFile,
    source::InputLine,
};
use futures::{StreamExt, future::BoxFuture, stream::FuturesUnordered};
use std::collections::BTreeMap;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Lines in flight or postponed at the same time; reading pauses beyond that.
const PENDING_LINES_MAX: usize = 4_096;
/// Bytes of these lines. One line is always admitted.
const PENDING_BYTES_MAX: usize = 64 * 1024 * 1024;

/// The position of a line in the order of all inputs.
type Turn = u64;

/// The result of a line.
struct Posted {
    turn: Turn,
    line: Line,
    result: PostResult,
    /// The failures that it waited for.
    passed: Vec<PassingFailure>,
    /// Lines that had been accepted when its first attempt began.
    accepted_before: u64,
}

/// A line without a final result.
enum Pending {
    /// It is being posted. With `last` the result is final: every earlier line had a result when the attempt began.
    InFlight { last: bool, bytes: usize },
    /// It was refused, and waits until every earlier line has a result.
    Postponed(Line),
}

/// Posts a fixed number of lines at a time and keeps the account.
pub(super) struct Dispatcher<'a> {
    poster: Poster,
    connections: usize,
    account: Account,
    refused: Option<RefusedFile>,
    progress: &'a Progress,
    in_flight: FuturesUnordered<BoxFuture<'static, Posted>>,
    /// Every line without a final result, in the order of the inputs.
    pending: BTreeMap<Turn, Pending>,
    pending_bytes: usize,
    next_turn: Turn,
}

impl<'a> Dispatcher<'a> {
    pub(super) fn new(
        poster: Poster,
        connections: usize,
        refused: Option<RefusedFile>,
        progress: &'a Progress,
    ) -> Self {
        Self {
            poster,
            connections,
            account: Account::default(),
            refused,
            progress,
            in_flight: FuturesUnordered::new(),
            pending: BTreeMap::new(),
            pending_bytes: 0,
            next_turn: 0,
        }
    }

    /// Posts until the inputs end, `stop` is cancelled, or the server stays unreachable. Waits for requests in flight in
    /// every case.
    pub(super) async fn run(
        &mut self,
        mut lines: mpsc::Receiver<InputLine>,
        stop: &CancellationToken,
    ) -> Result<(), LoadError> {
        let mut reading = true;
        let mut outcome = Ok(());
        loop {
            let may_read = reading && self.has_room();
            tokio::select! {
                // Results first: they make room.
                biased;
                Some(posted) = self.in_flight.next() => {
                    if let Err(error) = self.finished(posted) {
                        reading = false;
                        outcome = outcome.and(Err(error));
                    }
                }
                () = stop.cancelled(), if reading => reading = false,
                line = lines.recv(), if may_read => match line {
                    Some(line) => self.take(line)?,
                    None => reading = false,
                },
                else => break,
            }
        }
        outcome
    }

    /// Flushes the file of refused lines and returns the account.
    pub(super) fn into_account(mut self) -> Result<Account, LoadError> {
        self.account.close();
        self.refused.take().map_or(Ok(()), RefusedFile::close)?;
        Ok(self.account)
    }

    fn has_room(&self) -> bool {
        self.in_flight.len() < self.connections
            && self.pending.len() < PENDING_LINES_MAX
            && (self.pending.is_empty() || self.pending_bytes < PENDING_BYTES_MAX)
    }

    fn take(&mut self, read: InputLine) -> Result<(), LoadError> {
        match read {
            Ok(line) => {
                let turn = self.next_turn;
                self.next_turn += 1;
                self.pending_bytes += line.body.len();
                let last = self.pending.is_empty();
                self.start(turn, line, last);
                Ok(())
            }
            Err(bad) => self.bad_line(&bad),
        }
    }

    fn bad_line(&mut self, bad: &BadLine) -> Result<(), LoadError> {
        let (kind, body) = (String::new(), String::new());
        let refused = RefusedResponse { status: 0, kind, detail: bad.reason.clone(), body, retry_after: None };
        self.account.refuse(&bad.position, "", &refused);
        self.progress.answered(self.account.answered(), self.account.refused());
        self.refused.as_mut().map_or(Ok(()), |file| file.write_bad(bad, &refused))
    }

    fn start(&mut self, turn: Turn, line: Line, last: bool) {
        self.pending.insert(turn, Pending::InFlight { last, bytes: line.body.len() });
        let (poster, accepted_before) = (self.poster.clone(), self.account.accepted());
        self.in_flight.push(Box::pin(async move {
            let mut passed = Vec::new();
            let result = poster.post(&line, &mut passed).await;
            Posted { turn, line, result, passed, accepted_before }
        }));
    }

    fn finished(&mut self, posted: Posted) -> Result<(), LoadError> {
        let Posted { turn, line, result, passed, accepted_before } = posted;
        self.account.pass(passed);
        let last = matches!(self.pending.get(&turn), Some(Pending::InFlight { last: true, .. }));
        match result {
            PostResult::Created => self.account.created += 1,
            PostResult::Existing => self.account.existing += 1,
            // An earlier line may have been accepted after the server had decided about this one.
            PostResult::Refused(refused) if refused.may_depend_on_order() && !last => {
                self.account.postponed += 1;
                self.pending.insert(turn, Pending::Postponed(line));
                self.repeat_first();
                return Ok(());
            }
            PostResult::Refused(refused) => self.refuse(&line, &refused)?,
            // The server accepts other lines: its defect concerns this one.
            PostResult::NoFinalAnswer { last: Some(refused), .. }
                if refused.status == 500 && self.account.accepted() > accepted_before =>
            {
                self.refuse(&line, &refused)?;
            }
            PostResult::NoFinalAnswer { reason, waited, .. } => {
                self.forget(turn);
                return Err(LoadError::Unreachable {
                    at: line.position.to_string(),
                    url: self.poster.url().to_string(),
                    waited_s: waited.as_secs(),
                    reason,
                });
            }
            PostResult::Interrupted => {
                self.forget(turn);
                return Ok(());
            }
        }
        self.progress.answered(self.account.answered(), self.account.refused());
        self.forget(turn);
        self.repeat_first();
        Ok(())
    }

    fn refuse(&mut self, line: &Line, refused: &RefusedResponse) -> Result<(), LoadError> {
        self.account.refuse(&line.position, &line.resource, refused);
        self.refused.as_mut().map_or(Ok(()), |file| file.write(line, refused))
    }

    fn forget(&mut self, turn: Turn) {
        match self.pending.remove(&turn) {
            Some(Pending::InFlight { bytes, .. }) => self.pending_bytes -= bytes,
            Some(Pending::Postponed(line)) => self.pending_bytes -= line.body.len(),
            None => {}
        }
    }

    /// Posts the first pending line again if it was postponed: every earlier line has a result now.
    fn repeat_first(&mut self) {
        if let Some(mut first) = self.pending.first_entry()
            && matches!(first.get(), Pending::Postponed(_))
        {
            let turn = *first.key();
            let bytes = match first.get() {
                Pending::Postponed(line) => line.body.len(),
                Pending::InFlight { bytes, .. } => *bytes,
            };
            if let Pending::Postponed(line) = first.insert(Pending::InFlight { last: true, bytes }) {
                self.start(turn, line, true);
            }
        }
    }
}
