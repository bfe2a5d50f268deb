//! HTTP/1 by hand (RFC 9112): any bytes in, and what came back as it came.

use socket2::{Domain, SockRef, Socket, Type};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

/// How long a host may be silent before a test gives up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A connection on which a test writes what it likes.
pub struct Http1 {
    stream: TcpStream,
    read: Vec<u8>,
}

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// In the ordinary way.
    Closed,
    /// With a reset: what came before may not be whole.
    Reset,
}

/// Everything that came back on a connection until it ended.
#[derive(Debug)]
pub struct Reply {
    pub bytes: Vec<u8>,
    pub end: End,
}

/// One response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    pub status: u16,
    /// In lower case, in the order of arrival.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// False where the connection ended before the body did.
    pub whole: bool,
}

impl Http1 {
    pub fn connect(address: SocketAddr) -> Self {
        Self::connect_from(Ipv4Addr::LOCALHOST, address)
    }

    /// Connects from another address of the loopback network: as another client.
    pub fn connect_from(source: Ipv4Addr, address: SocketAddr) -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from((source, 0)).into()).unwrap();
        socket.connect(&address.into()).unwrap();
        let stream = TcpStream::from(socket);
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { stream, read: Vec::new() }
    }

    /// Writes. That the host may have closed already is seen when reading.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        let _ = self.stream.write_all(bytes.as_ref());
        self
    }

    /// Looks this long for a first byte of an answer, or the connection's end.
    pub fn hears_within(&mut self, time: Duration) -> bool {
        self.stream.set_read_timeout(Some(time)).unwrap();
        let mut some = [0; 4_096];
        let heard = match self.stream.read(&mut some) {
            Ok(count) => {
                self.read.extend_from_slice(&some[..count]);
                true
            }
            Err(error) => !matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut),
        };
        self.stream.set_read_timeout(Some(PATIENCE)).unwrap();
        heard
    }

    /// Reads until the head of a response is there. False when the connection ended first.
    pub fn has_head(&mut self) -> bool {
        self.read_until(|read| find(read, b"\r\n\r\n").is_some())
    }

    /// Reads until one whole response is there, and takes it.
    #[track_caller]
    pub fn response(&mut self) -> Response {
        let whole = self.read_until(|read| parse(read).is_some_and(|(response, _)| response.whole));
        assert!(whole, "no whole response: {}", String::from_utf8_lossy(&self.read));
        let (response, length) = parse(&self.read).unwrap();
        self.read.drain(..length);
        response
    }

    /// Reads until the host ends the connection.
    #[track_caller]
    pub fn end(mut self) -> Reply {
        let mut some = [0; 4_096];
        let end = loop {
            match self.stream.read(&mut some) {
                Ok(0) => break End::Closed,
                Ok(count) => self.read.extend_from_slice(&some[..count]),
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => break End::Reset,
                Err(error) => panic!("the connection stays open ({error}): {:?}", self.text()),
            }
        };
        Reply { bytes: self.read, end }
    }

    /// Leaves with a reset instead of an ordinary end.
    pub fn reset(self) {
        SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).unwrap();
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.read).into_owned()
    }

    fn read_until(&mut self, enough: impl Fn(&[u8]) -> bool) -> bool {
        let mut some = [0; 4_096];
        while !enough(&self.read) {
            match self.stream.read(&mut some) {
                Ok(0) => return false,
                Ok(count) => self.read.extend_from_slice(&some[..count]),
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return false,
                Err(error) => panic!("nothing comes ({error}): {:?}", self.text()),
            }
        }
        true
    }
}

/// Sends these bytes on a connection of their own, and reads until the host ends it.
#[track_caller]
pub fn exchange(address: SocketAddr, bytes: impl AsRef<[u8]>) -> Reply {
    let mut client = Http1::connect(address);
    client.send(bytes);
    client.end()
}

impl Reply {
    /// Every response in it, also one that is not whole.
    pub fn responses(&self) -> Vec<Response> {
        let (mut rest, mut all) = (&self.bytes[..], Vec::new());
        while let Some((mut response, length)) = parse(rest) {
            rest = &rest[length..];
            if response.whole && self.end == End::Reset && rest.is_empty() && response.length().is_none() {
                response.whole = response.is_chunked();
            }
            all.push(response);
        }
        all
    }

    pub fn statuses(&self) -> Vec<u16> {
        self.responses().iter().map(|response| response.status).collect()
    }
}

impl Response {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    fn length(&self) -> Option<usize> {
        self.header("content-length").and_then(|length| length.parse().ok())
    }

    fn is_chunked(&self) -> bool {
        self.header("transfer-encoding") == Some("chunked")
    }
}

/// The first response in these bytes, and how long it is. None without a whole head.
fn parse(bytes: &[u8]) -> Option<(Response, usize)> {
    let head = find(bytes, b"\r\n\r\n")?;
    let text = String::from_utf8_lossy(&bytes[..head]).into_owned();
    let mut lines = text.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let headers = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let mut response = Response { status, headers, body: Vec::new(), whole: true };
    let rest = &bytes[head + 4..];
    let taken = if matches!(status, 100..=199 | 204 | 304) {
        0
    } else if response.is_chunked() {
        let (body, taken) = chunks(rest);
        response.body = body;
        response.whole = taken.is_some();
        taken.unwrap_or(rest.len())
    } else {
        let length = response.length().unwrap_or(rest.len());
        response.whole = rest.len() >= length;
        let taken = length.min(rest.len());
        response.body = rest[..taken].to_vec();
        taken
    };
    Some((response, head + 4 + taken))
}

/// The body in these chunks, and how long they are with the last one; none when that is not there.
fn chunks(mut bytes: &[u8]) -> (Vec<u8>, Option<usize>) {
    let (all, mut body) = (bytes.len(), Vec::new());
    loop {
        let Some(line) = find(bytes, b"\r\n") else { return (body, None) };
        let Ok(size) = usize::from_str_radix(&String::from_utf8_lossy(&bytes[..line]), 16) else {
            return (body, None);
        };
        bytes = &bytes[line + 2..];
        if size == 0 {
            let end = find(bytes, b"\r\n");
            return (body, end.map(|end| all - bytes.len() + end + 2));
        }
        if bytes.len() < size + 2 {
            body.extend_from_slice(&bytes[..size.min(bytes.len())]);
            return (body, None);
        }
        body.extend_from_slice(&bytes[..size]);
        bytes = &bytes[size + 2..];
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}
