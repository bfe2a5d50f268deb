//! An HTTP/2 client by hand (RFC 9113), for what no honest client library does: any frame out, and frames back as what
//! they mean. Of HPACK (RFC 7541) it writes literals without indexing, and reads `:status`.

use crate::http1::PATIENCE;
use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};

pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

// Frame types (RFC 9113, section 6).
pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PUSH_PROMISE: u8 = 5;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

// Flags.
pub const ACK: u8 = 0x1;
pub const END_STREAM: u8 = 0x1;
pub const END_HEADERS: u8 = 0x4;
pub const PADDED: u8 = 0x8;
pub const PRIORITISED: u8 = 0x20;
/// A whole request in one frame.
pub const WHOLE: u8 = END_STREAM | END_HEADERS;

// Error codes (section 7).
pub const NO_ERROR: u32 = 0;
pub const PROTOCOL_ERROR: u32 = 1;
pub const FLOW_CONTROL_ERROR: u32 = 3;
pub const STREAM_CLOSED: u32 = 5;
pub const FRAME_SIZE_ERROR: u32 = 6;
pub const REFUSED_STREAM: u32 = 7;
pub const CANCEL: u32 = 8;
pub const COMPRESSION_ERROR: u32 = 9;
pub const ENHANCE_YOUR_CALM: u32 = 11;

// Settings (section 6.5.2).
pub const HEADER_TABLE_SIZE: u16 = 1;
pub const ENABLE_PUSH: u16 = 2;
pub const INITIAL_WINDOW_SIZE: u16 = 4;
pub const MAX_FRAME_SIZE: u16 = 5;

/// One frame, whether or not it makes sense.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let [_, length @ ..] = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A SETTINGS frame.
pub fn settings(values: &[(u16, u32)]) -> Vec<u8> {
    let payload =
        values.iter().flat_map(|(id, value)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat());
    frame(SETTINGS, 0, 0, &payload.collect::<Vec<_>>())
}

/// A WINDOW_UPDATE frame.
pub fn window(stream: u32, by: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, stream, &by.to_be_bytes())
}

/// An RST_STREAM frame.
pub fn reset(stream: u32, code: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &code.to_be_bytes())
}

/// A literal of HPACK without indexing (RFC 7541, section 6.2.2), with its name in full.
pub fn literal(name: &[u8], value: &[u8]) -> Vec<u8> {
    [&[0x00][..], &string(name), &string(value)].concat()
}

/// A string of HPACK, not compressed (section 5.2).
pub fn string(text: &[u8]) -> Vec<u8> {
    [&integer(text.len(), 7)[..], text].concat()
}

/// An integer of HPACK (section 5.1) in a prefix of so many bits.
pub fn integer(value: usize, prefix: u32) -> Vec<u8> {
    let most = (1 << prefix) - 1;
    if value < most {
        return vec![u8::try_from(value).unwrap()];
    }
    let (mut out, mut rest) = (vec![u8::try_from(most).unwrap()], value - most);
    while rest >= 128 {
        out.push(u8::try_from(rest % 128 + 128).unwrap());
        rest /= 128;
    }
    out.push(u8::try_from(rest).unwrap());
    out
}

/// A header block of these fields.
pub fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    fields.iter().flat_map(|(name, value)| literal(name.as_bytes(), value.as_bytes())).collect()
}

/// The header block of a request of `acme.test`.
pub fn request(method: &str, path: &str, more: &[(&str, &str)]) -> Vec<u8> {
    let pseudo = [(":method", method), (":scheme", "http"), (":path", path), (":authority", "acme.test")];
    block(&[&pseudo[..], more].concat())
}

/// What came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    Data {
        stream: u32,
        bytes: Vec<u8>,
        end: bool,
    },
    /// The status is none for trailers.
    Headers {
        stream: u32,
        status: Option<u16>,
        end: bool,
    },
    Reset {
        stream: u32,
        code: u32,
    },
    Settings {
        ack: bool,
    },
    Ping {
        ack: bool,
        text: Vec<u8>,
    },
    GoAway {
        last: u32,
        code: u32,
    },
    Window {
        stream: u32,
        by: u32,
    },
    Other {
        kind: u8,
    },
    /// No frame, but an answer in HTTP/1.
    Http1 {
        status: u16,
    },
}

/// What was seen of one stream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    pub status: Option<u16>,
    pub body: Vec<u8>,
    /// Its end came, so it is whole.
    pub whole: bool,
    pub reset: Option<u32>,
}

/// A connection.
pub struct Http2 {
    stream: TcpStream,
    read: Vec<u8>,
    /// What was seen of each stream.
    pub streams: BTreeMap<u32, Seen>,
    /// The code of the last GOAWAY.
    pub goaway: Option<u32>,
}

impl Http2 {
    /// Connects, greets, and gives streams so many bytes of room to begin with.
    pub fn connect(address: SocketAddr, initial_window: u32) -> Self {
        let mut this = Self::raw(address);
        // Without a table, each head says its status in full.
        let first = settings(&[(HEADER_TABLE_SIZE, 0), (INITIAL_WINDOW_SIZE, initial_window)]);
        this.send([PREFACE, &first].concat());
        while !matches!(this.receive().expect("settings"), Frame::Settings { ack: false }) {}
        this.send(frame(SETTINGS, ACK, 0, &[]));
        this
    }

    /// Connects, and says nothing.
    pub fn raw(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { stream, read: Vec::new(), streams: BTreeMap::new(), goaway: None }
    }

    /// Writes. That the host may have closed already is seen when reading.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.stream.write_all(bytes.as_ref());
    }

    /// Asks `acme.test` for a path. Streams of a client are odd.
    pub fn get(&mut self, stream: u32, path: &str) {
        self.send(frame(HEADERS, WHOLE, stream, &request("GET", path, &[])));
    }

    /// Waits until the host has closed the connection.
    pub fn wait_for_close(&mut self) {
        while self.receive().is_some() {}
    }

    /// Writes this again and again, reads nothing, and returns once the host has ended the connection. False when it
    /// took more than `most` of them.
    pub fn push_until_ended(&mut self, bytes: &[u8], most: usize) -> bool {
        self.stream.set_write_timeout(Some(PATIENCE)).unwrap();
        (0..most).any(|_| match self.stream.write_all(bytes) {
            Ok(()) => false,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                panic!("the connection stands still and stays open")
            }
            Err(_) => true,
        })
    }

    /// Writes all of this and reads what comes meanwhile. True once the host has taken all of it, false when it ended the
    /// connection first.
    pub fn flood(&mut self, bytes: Vec<u8>) -> bool {
        let mut writer = self.stream.try_clone().unwrap();
        let mark = b"the end.";
        let written = std::thread::spawn(move || {
            // The host may close before all of it is written.
            let _ = writer.write_all(&[&bytes[..], &frame(PING, 0, 0, mark)].concat());
        });
        let taken = loop {
            match self.receive() {
                None => break false,
                Some(Frame::Ping { ack: true, text }) if text == mark => break true,
                Some(_) => {}
            }
        };
        written.join().unwrap();
        taken
    }

    /// Waits until this stream is at its end.
    #[track_caller]
    pub fn response(&mut self, stream: u32) -> Seen {
        loop {
            if let Some(seen) = self.streams.get(&stream)
                && (seen.whole || seen.reset.is_some())
            {
                return seen.clone();
            }
            if self.receive().is_none() {
                return self.streams.get(&stream).cloned().unwrap_or_default();
            }
        }
    }

    /// The next frame. None once the connection is at its end.
    #[track_caller]
    pub fn receive(&mut self) -> Option<Frame> {
        let frame = loop {
            if let Some(frame) = self.take() {
                break frame;
            }
            let mut some = [0; 16_384];
            match self.stream.read(&mut some) {
                Ok(0) => return None,
                Ok(count) => self.read.extend_from_slice(&some[..count]),
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                    panic!("nothing comes, and the connection stays open")
                }
                Err(_) => return None,
            }
        };
        self.note(&frame);
        Some(frame)
    }

    fn note(&mut self, frame: &Frame) {
        match frame {
            Frame::Data { stream, bytes, end } => {
                let seen = self.streams.entry(*stream).or_default();
                seen.body.extend_from_slice(bytes);
                seen.whole |= end;
            }
            Frame::Headers { stream, status, end } => {
                let seen = self.streams.entry(*stream).or_default();
                seen.status = seen.status.or(*status);
                seen.whole |= end;
            }
            Frame::Reset { stream, code } => self.streams.entry(*stream).or_default().reset = Some(*code),
            Frame::GoAway { code, .. } => self.goaway = Some(*code),
            // As an honest client does: a host that stops waits for it.
            Frame::Ping { ack: false, text } => self.send(crate::http2::frame(PING, ACK, 0, text)),
            _ => {}
        }
    }

    fn take(&mut self) -> Option<Frame> {
        if self.read.starts_with(b"HTTP/1") {
            let status = String::from_utf8_lossy(self.read.get(9..12)?).parse().unwrap();
            self.read.clear();
            return Some(Frame::Http1 { status });
        }
        let head: [u8; 9] = self.read.get(..9)?.try_into().unwrap();
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let payload = self.read.get(9..9 + length)?.to_vec();
        self.read.drain(..9 + length);
        Some(meaning(&head, payload))
    }
}

fn meaning(head: &[u8; 9], payload: Vec<u8>) -> Frame {
    let number = |at: usize| u32::from_be_bytes(payload[at..at + 4].try_into().unwrap());
    let stream = u32::from_be_bytes([head[5] & 0x7f, head[6], head[7], head[8]]);
    let (flags, end) = (head[4], head[4] & END_STREAM != 0);
    match head[3] {
        DATA => Frame::Data { stream, bytes: payload, end },
        HEADERS => Frame::Headers { stream, status: status(&payload), end },
        RST_STREAM => Frame::Reset { stream, code: number(0) },
        SETTINGS => Frame::Settings { ack: flags & ACK != 0 },
        PING => Frame::Ping { ack: flags & ACK != 0, text: payload },
        GOAWAY => Frame::GoAway { last: number(0), code: number(4) },
        WINDOW_UPDATE => Frame::Window { stream, by: number(0) },
        kind => Frame::Other { kind },
    }
}

/// The `:status` that a header block begins with.
fn status(block: &[u8]) -> Option<u16> {
    // Changes of the table's size come first (RFC 7541, section 6.3).
    let sizes = block.iter().take_while(|byte| *byte & 0xe0 == 0x20).count();
    let block = &block[sizes..];
    let first = *block.first()?;
    if first & 0x80 != 0 {
        // Indexed: the static table has these.
        let known = [200, 204, 206, 304, 400, 404, 500];
        return known.get(usize::from(first & 0x7f).checked_sub(8)?).copied();
    }
    let name = if first & 0x40 != 0 { first & 0x3f } else { first & 0x0f };
    if !(8..=14).contains(&name) {
        return None;
    }
    let length = usize::from(block.get(1)? & 0x7f);
    let value = block.get(2..2 + length)?;
    if block[1] & 0x80 == 0 {
        return String::from_utf8_lossy(value).parse().ok();
    }
    digits(value)
}

/// Three digits in Huffman's code (RFC 7541, appendix B): 0 to 2 have five bits, 3 to 9 six that begin at 0x19.
fn digits(bytes: &[u8]) -> Option<u16> {
    let bit = |at: usize| bytes.get(at / 8).map(|byte| u16::from(byte >> (7 - at % 8) & 1));
    let bits = |at: usize, count: usize| (at..at + count).try_fold(0, |sum, at| Some(sum * 2 + bit(at)?));
    let (mut at, mut number) = (0, 0);
    for _ in 0..3 {
        let five = bits(at, 5)?;
        let (digit, length) = if five <= 2 { (five, 5) } else { (bits(at, 6)?.checked_sub(0x19)? + 3, 6) };
        number = number * 10 + digit;
        at += length;
    }
    Some(number)
}
