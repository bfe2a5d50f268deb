//! A client of HTTP/1.1 that sees every byte: informational heads, trailers, bodies that break off. And one that sends
//! what no honest client would.

use crate::answer::Body;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// What a client sends after its head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sending {
    Nothing,
    /// A body is announced, and never comes.
    Withheld,
    /// A body without end, as fast as it is taken.
    Endless,
}

/// A request.
#[derive(Debug, Clone)]
pub struct Ask {
    pub method: &'static str,
    pub host: String,
    pub target: String,
    pub sending: Sending,
}

/// Everything that came back.
#[derive(Debug, Clone)]
pub struct Reply {
    /// Statuses of the heads that came before the last.
    pub informational: Vec<u16>,
    /// None when the connection broke before a head.
    pub status: Option<u16>,
    pub headers: Vec<(String, String)>,
    pub trailers: Vec<(String, String)>,
    pub body: Body,
    /// Nothing came for so long that the client gave up.
    pub hung: bool,
    pub took: Duration,
}

/// How long a client waits for the next byte.
const PATIENCE: Duration = Duration::from_secs(20);

/// Longer than any line of an honest head.
const LINE_BYTES: u64 = 4 << 20;

/// A connection that is kept.
pub struct Connection(BufReader<TcpStream>);

impl Connection {
    pub fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self(BufReader::new(stream)))
    }

    /// Sends a request and hears the whole reply. The connection can be used again if the reply is whole.
    pub fn ask(&mut self, ask: &Ask) -> Reply {
        let began = Instant::now();
        let mut reply = Reply::none();
        let head = ask.head();
        let sent = self.0.get_mut().write_all(head.as_bytes());
        let sending = (ask.sending == Sending::Endless).then(|| self.0.get_ref().try_clone().unwrap());
        std::thread::scope(|scope| {
            if let Some(stream) = sending {
                scope.spawn(move || endless(stream));
            }
            let heard = sent.and_then(|()| reply.hear(&mut self.0, ask.method == "HEAD"));
            if let Err(error) = heard {
                reply.hung = matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut);
            }
            if ask.sending != Sending::Nothing {
                // The sender notices, and ends.
                let _ = self.0.get_ref().shutdown(Shutdown::Both);
            }
        });
        reply.took = began.elapsed();
        reply
    }
}

/// Chunks until nobody takes them.
fn endless(mut stream: TcpStream) {
    let chunk = [b"4000\r\n", vec![b'x'; 0x4000].as_slice(), b"\r\n"].concat();
    while stream.write_all(&chunk).is_ok() {}
}

impl Ask {
    pub fn get(host: &str, target: &str) -> Self {
        Self { method: "GET", host: host.into(), target: target.into(), sending: Sending::Nothing }
    }

    /// On a connection of its own.
    pub fn alone(&self, address: SocketAddr) -> Reply {
        match Connection::open(address) {
            Ok(mut connection) => connection.ask(self),
            Err(_) => Reply::none(),
        }
    }

    fn head(&self) -> String {
        let body = match self.sending {
            Sending::Nothing => "",
            Sending::Withheld => "content-length: 1000\r\n",
            Sending::Endless => "transfer-encoding: chunked\r\n",
        };
        format!("{} {} HTTP/1.1\r\nhost: {}\r\n{body}\r\n", self.method, self.target, self.host)
    }
}

impl Reply {
    fn none() -> Self {
        Self {
            informational: Vec::new(),
            status: None,
            headers: Vec::new(),
            trailers: Vec::new(),
            body: Body::Cut(Vec::new()),
            hung: false,
            took: Duration::ZERO,
        }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|header| header.0 == name).map(|header| header.1.as_str())
    }

    pub fn is_whole(&self) -> bool {
        matches!(self.body, Body::Whole(_))
    }

    pub fn text(&self) -> String {
        let (Body::Whole(bytes) | Body::Cut(bytes)) = &self.body;
        String::from_utf8_lossy(bytes).into_owned()
    }

    /// The id of the request: a header of an app's response, or part of a problem document.
    pub fn request_id(&self) -> Option<String> {
        let (Body::Whole(bytes) | Body::Cut(bytes)) = &self.body;
        let of_problem = || {
            let document: serde_json::Value = serde_json::from_slice(bytes).ok()?;
            document["instance"].as_str()?.strip_prefix("urn:tollgate:request:").map(str::to_owned)
        };
        self.header("tollgate-request-id").map(str::to_owned).or_else(of_problem)
    }

    /// The code of a problem document.
    pub fn problem(&self) -> Option<String> {
        let document: serde_json::Value = serde_json::from_str(&self.text()).ok()?;
        document["type"].as_str()?.strip_prefix("https://tollgate.dev/problems/").map(str::to_owned)
    }

    fn hear(&mut self, from: &mut impl BufRead, no_body: bool) -> io::Result<()> {
        let status = loop {
            let first = line(from)?;
            let status = first.split(' ').nth(1).and_then(|status| status.parse().ok());
            let status: u16 =
                status.ok_or_else(|| io::Error::other(format!("`{first}` is no status line")))?;
            let headers = fields(from)?;
            if (100..200).contains(&status) && status != 101 {
                self.informational.push(status);
                continue;
            }
            self.headers = headers;
            break status;
        };
        self.status = Some(status);
        let mut bytes = Vec::new();
        let heard = if no_body || matches!(status, 204 | 304) {
            Ok(())
        } else if self.header("transfer-encoding").is_some_and(|coding| coding == "chunked") {
            chunks(from, &mut bytes).map(|trailers| self.trailers = trailers)
        } else if let Some(length) = self.header("content-length") {
            let length: u64 = length.parse().map_err(io::Error::other)?;
            exactly(from, length, &mut bytes)
        } else {
            from.read_to_end(&mut bytes).map(drop)
        };
        self.body = if heard.is_ok() { Body::Whole(bytes) } else { Body::Cut(bytes) };
        heard
    }
}

fn line(from: &mut impl BufRead) -> io::Result<String> {
    let mut bytes = Vec::new();
    from.take(LINE_BYTES).read_until(b'\n', &mut bytes)?;
    if bytes.pop() != Some(b'\n') {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(String::from_utf8_lossy(&bytes).trim_end_matches('\r').to_owned())
}

fn fields(from: &mut impl BufRead) -> io::Result<Vec<(String, String)>> {
    let mut fields = Vec::new();
    loop {
        let line = line(from)?;
        if line.is_empty() {
            return Ok(fields);
        }
        let (name, value) = line.split_once(':').unwrap_or((&line, ""));
        fields.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
}

fn exactly(from: &mut impl BufRead, length: u64, into: &mut Vec<u8>) -> io::Result<()> {
    let read = from.take(length).read_to_end(into)? as u64;
    if read == length { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

/// Reads a chunked body; what stands after the last chunk is returned.
fn chunks(from: &mut impl BufRead, into: &mut Vec<u8>) -> io::Result<Vec<(String, String)>> {
    loop {
        let size = line(from)?;
        let size = size.split(';').next().unwrap_or_default();
        let size = u64::from_str_radix(size, 16).map_err(io::Error::other)?;
        if size == 0 {
            return fields(from);
        }
        exactly(from, size, into)?;
        line(from)?;
    }
}
