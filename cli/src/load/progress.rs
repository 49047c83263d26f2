//! Progress of a load: a bar on a terminal, a line every few seconds elsewhere.

use super::{
    account::seconds,
    source::{Input, ReadAhead},
};
use crate::{args::ProgressStyle, text::grouped};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle as BarStyle};
use parking_lot::Mutex;
use std::{
    io::{IsTerminal, Write},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// Pause between two lines without a terminal.
const LINE_INTERVAL: Duration = Duration::from_secs(5);

/// The progress of a load, measured in bytes of its inputs.
#[derive(Debug)]
pub struct Progress {
    ahead: Arc<ReadAhead>,
    answered: AtomicU64,
    bytes_total: Option<u64>,
    started: Instant,
    form: Form,
}

#[derive(Debug)]
enum Form {
    Bar(ProgressBar),
    Lines { last: Mutex<Instant> },
    None,
}

impl Progress {
    /// Creates the progress over these inputs. Without a known size it shows neither a percentage nor the time left.
    pub fn new(style: ProgressStyle, inputs: &[Input]) -> Self {
        let sizes: Option<Vec<u64>> = inputs.iter().map(Input::size_bytes).collect();
        let bytes_total = sizes.map(|sizes| sizes.iter().sum()).filter(|total| *total > 0);
        let form = match style {
            ProgressStyle::Auto if std::io::stderr().is_terminal() => Form::Bar(bar(bytes_total)),
            ProgressStyle::Auto | ProgressStyle::Lines => Form::Lines { last: Mutex::new(Instant::now()) },
            ProgressStyle::None => Form::None,
        };
        Self { ahead: Arc::default(), answered: AtomicU64::new(0), bytes_total, started: Instant::now(), form }
    }

    pub(super) fn ahead(&self) -> Arc<ReadAhead> {
        Arc::clone(&self.ahead)
    }

    /// Returns the number of lines with a result.
    pub fn lines(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    pub(super) fn answered(&self, answered: u64, refused: u64) {
        self.answered.store(answered, Ordering::Relaxed);
        let rate = answered as f64 / seconds(self.started.elapsed());
        match &self.form {
            Form::Bar(bar) => {
                bar.set_position(self.bytes_answered() as u64);
                bar.set_message(format!("{} documents, {rate:.0}/s, {} refused", grouped(answered), grouped(refused)));
            }
            Form::Lines { last } => {
                let mut last = last.lock();
                if last.elapsed() >= LINE_INTERVAL {
                    *last = Instant::now();
                    let line = format!(
                        "{} documents, {rate:.0}/s, {} refused{}\n",
                        grouped(answered),
                        grouped(refused),
                        self.left()
                    );
                    // A load continues even if its progress cannot be shown.
                    _ = std::io::stderr().write_all(line.as_bytes());
                }
            }
            Form::None => {}
        }
    }

    /// Estimates the bytes of the lines with a result: thousands of lines may have been read but not posted.
    fn bytes_answered(&self) -> f64 {
        let (bytes, lines) = (self.ahead.bytes.load(Ordering::Relaxed), self.ahead.lines.load(Ordering::Relaxed));
        bytes as f64 * (self.lines() as f64 / lines.max(1) as f64).min(1.0)
    }

    /// Returns the percentage and the time left, as text.
    fn left(&self) -> String {
        match self.bytes_total {
            Some(total) if self.bytes_answered() > 0.0 => {
                let share = (self.bytes_answered() / total as f64).min(1.0);
                let left = seconds(self.started.elapsed()) * (1.0 - share) / share;
                format!(", {:.0} %, about {left:.0} s left", share * 100.0)
            }
            _ => String::new(),
        }
    }

    pub(super) fn finish(&self) {
        if let Form::Bar(bar) = &self.form {
            bar.finish_and_clear();
        }
    }
}

fn bar(bytes_total: Option<u64>) -> ProgressBar {
    let (bar, template) = match bytes_total {
        Some(total) => (ProgressBar::new(total), "{bar:30} {percent:>3} %  {msg}  {eta} left"),
        None => (ProgressBar::new_spinner(), "{spinner} {msg}"),
    };
    bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(10));
    match BarStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
