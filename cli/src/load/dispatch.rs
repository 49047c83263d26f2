//! Which line is posted when: many side by side, and a line that may have come too early once more, in its turn.

use super::{
    LoadError,
    account::Account,
    line::{BadLine, Line},
    post::{Answer, Poster, Refused},
    progress::Progress,
    refused::RefusedFile,
    source::FromInput,
};
use futures::{StreamExt, future::BoxFuture, stream::FuturesUnordered};
use std::collections::BTreeMap;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Lines that may be in flight or put off at a time, beyond which nothing more is read.
const PENDING_LINES_MAX: usize = 4_096;
/// Their bytes. One line is always let in.
const PENDING_BYTES_MAX: usize = 64 * 1024 * 1024;

/// The order of a line among all lines of all inputs.
type Turn = u64;

/// An answer, with what it is the answer to.
struct Answered {
    turn: Turn,
    line: Line,
    answer: Answer,
}

/// What a pending line is doing.
enum Pending {
    /// It is being posted. `last` means that whatever comes back stands.
    InFlight { last: bool, bytes: usize },
    /// It was refused, and waits until everything before it was answered.
    PutOff(Line),
}

/// Posts lines, a fixed number at a time, and keeps the account.
pub(super) struct Dispatcher<'a> {
    poster: Poster,
    connections: usize,
    account: Account,
    refused: Option<RefusedFile>,
    progress: &'a Progress,
    in_flight: FuturesUnordered<BoxFuture<'static, Answered>>,
    /// Every line without a final answer, in the order of the inputs.
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

    /// Posts until the inputs end, `stop` is cancelled, or the server stays away. What is in flight is always answered.
    pub(super) async fn run(
        &mut self,
        mut lines: mpsc::Receiver<FromInput>,
        stop: &CancellationToken,
    ) -> Result<(), LoadError> {
        let mut reading = true;
        let mut outcome = Ok(());
        loop {
            let may_read = reading && self.has_room();
            tokio::select! {
                // Answers first: they make room.
                biased;
                Some(answered) = self.in_flight.next() => {
                    if let Err(error) = self.answered(answered) {
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

    /// The account, closed, with the file of refused lines on disk.
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

    fn take(&mut self, read: FromInput) -> Result<(), LoadError> {
        match read {
            Ok(line) => {
                let turn = self.next_turn;
                self.next_turn += 1;
                self.pending_bytes += line.body.len();
                self.start(turn, line, false);
                Ok(())
            }
            Err(bad) => self.bad_line(&bad),
        }
    }

    fn bad_line(&mut self, bad: &BadLine) -> Result<(), LoadError> {
        let refused = Refused { status: 0, kind: String::new(), detail: bad.reason.clone(), answer: String::new() };
        self.account.refuse(&bad.place, "", &refused);
        self.progress.answered(self.account.answered(), self.account.refused());
        self.refused.as_mut().map_or(Ok(()), |file| file.write_bad(bad, &refused))
    }

    fn start(&mut self, turn: Turn, line: Line, last: bool) {
        self.pending.insert(turn, Pending::InFlight { last, bytes: line.body.len() });
        let poster = self.poster.clone();
        self.in_flight.push(Box::pin(async move {
            let answer = poster.post(&line).await;
            Answered { turn, line, answer }
        }));
    }

    fn answered(&mut self, Answered { turn, line, answer }: Answered) -> Result<(), LoadError> {
        let is_first_pending = self.pending.first_key_value().is_some_and(|(first, _)| *first == turn);
        let last = matches!(self.pending.get(&turn), Some(Pending::InFlight { last: true, .. }));
        match answer {
            Answer::Created => self.account.created += 1,
            Answer::Existing => self.account.existing += 1,
            Answer::Refused(refused) if refused.may_depend_on_order() && !last && !is_first_pending => {
                self.account.put_off += 1;
                self.pending.insert(turn, Pending::PutOff(line));
                return Ok(());
            }
            Answer::Refused(refused) => {
                self.account.refuse(&line.place, &line.resource, &refused);
                if let Some(file) = self.refused.as_mut() {
                    file.write(&line, &refused)?;
                }
            }
            Answer::Unreachable { reason, waited } => {
                self.forget(turn);
                return Err(LoadError::Unreachable {
                    at: line.place.to_string(),
                    url: self.poster.url().to_string(),
                    waited_s: waited.as_secs(),
                    reason,
                });
            }
        }
        self.progress.answered(self.account.answered(), self.account.refused());
        self.forget(turn);
        self.repeat_first();
        Ok(())
    }

    fn forget(&mut self, turn: Turn) {
        match self.pending.remove(&turn) {
            Some(Pending::InFlight { bytes, .. }) => self.pending_bytes -= bytes,
            Some(Pending::PutOff(line)) => self.pending_bytes -= line.body.len(),
            None => {}
        }
    }

    /// If the first line without an answer was put off, everything before it has been answered: its turn has come.
    fn repeat_first(&mut self) {
        if let Some(mut first) = self.pending.first_entry()
            && matches!(first.get(), Pending::PutOff(_))
        {
            let turn = *first.key();
            let bytes = match first.get() {
                Pending::PutOff(line) => line.body.len(),
                Pending::InFlight { bytes, .. } => *bytes,
            };
            if let Pending::PutOff(line) = first.insert(Pending::InFlight { last: true, bytes }) {
                self.start(turn, line, true);
            }
        }
    }
}
