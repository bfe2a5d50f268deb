//! What an app writes to its standard output and error: lines of a log endpoint, as many and as long as it may write.

use serde_json::json;
use tollgate_fastly_platform::Log;

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stream {
    Stdout,
    Stderr,
}

impl Stream {
    fn name(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

/// How much of it there may be, and where it goes.
pub(crate) struct Bounds<'a> {
    pub(crate) app: &'a str,
    pub(crate) request_id: &'a str,
    pub(crate) endpoint: &'a str,
    pub(crate) lines: u64,
    pub(crate) line_bytes: u64,
}

/// The lines of one run.
#[derive(Default)]
pub(crate) struct Lines {
    /// What has begun of a line on either stream.
    begun: [Vec<u8>; 2],
    /// How many there were; beyond the bound they are dropped.
    pub(crate) count: u64,
}

impl Lines {
    /// Takes what an app writes.
    pub(crate) fn take(&mut self, stream: Stream, bytes: &[u8], bounds: &Bounds<'_>) {
        let mut pieces = bytes.split(|byte| *byte == b'\n').peekable();
        while let Some(piece) = pieces.next() {
            let begun = self.begun(stream);
            let most = usize::try_from(bounds.line_bytes).unwrap_or(usize::MAX);
            let room = most.saturating_sub(begun.len());
            begun.extend(piece.iter().take(room));
            if pieces.peek().is_some() {
                self.end_line(stream, bounds);
            }
        }
    }

    /// The run is over: what has begun is a line.
    pub(crate) fn end(&mut self, bounds: &Bounds<'_>) {
        for stream in [Stream::Stdout, Stream::Stderr] {
            if !self.begun(stream).is_empty() {
                self.end_line(stream, bounds);
            }
        }
    }

    fn begun(&mut self, stream: Stream) -> &mut Vec<u8> {
        let [stdout, stderr] = &mut self.begun;
        match stream {
            Stream::Stdout => stdout,
            Stream::Stderr => stderr,
        }
    }

    fn end_line(&mut self, stream: Stream, bounds: &Bounds<'_>) {
        let line = std::mem::take(self.begun(stream));
        self.count += 1;
        if self.count > bounds.lines {
            return;
        }
        if let Ok(log) = Log::open(bounds.endpoint) {
            log.write(shown(stream, &line, bounds).as_bytes());
        }
    }
}

/// One line as it is logged: JSON, without control characters, so that it can pretend to be nothing else.
fn shown(stream: Stream, line: &[u8], bounds: &Bounds<'_>) -> String {
    let text = String::from_utf8_lossy(line);
    let text: String =
        text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect();
    json!({ "request_id": bounds.request_id, "app": bounds.app, "stream": stream.name(), "text": text })
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds<'static> =
        Bounds { app: "acme/web", request_id: "id", endpoint: "none", lines: 0, line_bytes: 4 };

    #[test]
    fn a_line_can_not_pretend_to_be_another() {
        let line = shown(Stream::Stderr, b"a\x1b[2J\xff\"}", &BOUNDS);
        let shown: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(shown["text"], "a\u{fffd}[2J\u{fffd}\"}");
        assert_eq!((&shown["stream"], &shown["app"]), (&"stderr".into(), &"acme/web".into()));
    }

    #[test]
    fn lines_are_counted_where_they_end_and_cut_where_they_are_too_long() {
        let mut lines = Lines::default();
        lines.take(Stream::Stdout, b"one\ntwo and a half", &BOUNDS);
        assert_eq!((lines.count, lines.begun(Stream::Stdout).as_slice()), (1, &b"two "[..]));
        lines.take(Stream::Stderr, b"\n\n", &BOUNDS);
        lines.end(&BOUNDS);
        assert_eq!(lines.count, 4);
    }
}
