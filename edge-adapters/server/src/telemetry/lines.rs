//! Log lines on their way to standard error: through a bounded queue and a thread of their own, because whoever
//! reads standard error may be slow, and a log line must not stop a request.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tracing_subscriber::fmt::MakeWriter;

/// How many lines wait.
const WAITING: usize = 8_192;

/// How many bytes are written with one call.
const WRITTEN_AT_ONCE: usize = 64 << 10;

/// How long lines are collected after some were written. Else each line would wake the thread that writes, and take a
/// core from a request to do so.
const COLLECTED_FOR: Duration = Duration::from_millis(2);

/// How long the last lines may take.
const FINISH_WITHIN: Duration = Duration::from_secs(2);

static DROPPED: AtomicU64 = AtomicU64::new(0);

/// Log lines that were dropped because too many waited.
#[must_use]
pub fn dropped_lines() -> u64 {
    DROPPED.load(Ordering::Relaxed)
}

enum Item {
    Line(Vec<u8>),
    End,
}

pub(super) struct Lines {
    queue: SyncSender<Item>,
    thread: Option<JoinHandle<()>>,
}

/// What the log writes into.
#[derive(Clone)]
pub(super) struct LineWriter(Arc<SyncSender<Item>>);

impl Lines {
    pub(super) fn start(out: impl Write + Send + 'static) -> io::Result<Self> {
        let (queue, lines) = sync_channel(WAITING);
        let thread = std::thread::Builder::new().name("log".to_owned()).spawn(move || write(&lines, out))?;
        Ok(Self { queue, thread: Some(thread) })
    }

    pub(super) fn writer(&self) -> LineWriter {
        LineWriter(Arc::new(self.queue.clone()))
    }

    /// Waits for the lines that are there, within bounds: who reads them may have stopped.
    pub(super) fn finish(&mut self) {
        let Some(thread) = self.thread.take() else { return };
        let until = Instant::now() + FINISH_WITHIN;
        while self.queue.try_send(Item::End).is_err() && !thread.is_finished() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(5));
        }
        while !thread.is_finished() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

fn write(lines: &Receiver<Item>, mut out: impl Write) {
    let mut batch = Vec::new();
    while let Ok(Item::Line(line)) = lines.recv() {
        batch.extend(line);
        let mut ends = false;
        while !ends && batch.len() < WRITTEN_AT_ONCE {
            match lines.try_recv() {
                Ok(Item::Line(line)) => batch.extend(line),
                Ok(Item::End) => ends = true,
                Err(_) => break,
            }
        }
        // There is nowhere to tell that the log can't be written.
        drop(out.write_all(&batch));
        batch.clear();
        if ends {
            break;
        }
        std::thread::sleep(COLLECTED_FOR);
    }
    drop(out.flush());
}

impl Write for LineWriter {
    /// Takes a whole line; the formatter writes each with one call.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.0.try_send(Item::Line(line.to_vec())).is_err() {
            DROPPED.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for LineWriter {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use parking_lot::{Condvar, Mutex};

    /// A reader of the log that takes nothing until it is let.
    #[derive(Clone, Default)]
    struct Gated {
        state: Arc<(Mutex<State>, Condvar)>,
        written: Arc<Mutex<Vec<u8>>>,
    }

    #[derive(Default)]
    struct State {
        asked: bool,
        open: bool,
    }

    impl Gated {
        fn wait(&self, until: impl Fn(&State) -> bool) {
            let mut state = self.state.0.lock();
            while !until(&state) {
                self.state.1.wait(&mut state);
            }
        }

        fn set(&self, change: impl FnOnce(&mut State)) {
            change(&mut self.state.0.lock());
            self.state.1.notify_all();
        }
    }

    impl Write for Gated {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.set(|state| state.asked = true);
            self.wait(|state| state.open);
            self.written.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_stops_costs_lines_and_never_time() {
        let out = Gated::default();
        let mut lines = Lines::start(out.clone()).unwrap();
        let mut writer = lines.writer();
        let before = dropped_lines();
        writer.write_all(b"line\n").unwrap();
        out.wait(|state| state.asked);
        for _ in 0..WAITING + 100 {
            writer.write_all(b"line\n").unwrap();
        }
        assert_eq!(dropped_lines() - before, 100);
        out.set(|state| state.open = true);
        lines.finish();
        assert_eq!(out.written.lock().len() / 5, 1 + WAITING);
    }
}
