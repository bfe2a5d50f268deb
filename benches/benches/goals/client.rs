//! Clients: small requests one after the other, and bodies that are too large to keep.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};
use testkit::{Ask, Connection};

/// What a client sends at one time, and how much it takes.
const PIECE: usize = 256 << 10;

/// Asks once, and returns how long the whole answer took.
pub(crate) fn ask(connection: &mut Connection, host: &str, target: &str) -> Duration {
    let reply = connection.ask(&Ask::get(host, target));
    assert!(reply.status == Some(200) && reply.is_whole(), "{:?} {}", reply.status, reply.text());
    reply.took
}

/// Requests that are answered in a second, on so many connections that each ask again once they are answered.
pub(crate) fn per_second(
    address: SocketAddr,
    host: &str,
    target: &str,
    connections: usize,
    time: Duration,
) -> f64 {
    let answered = AtomicU64::new(0);
    let began = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..connections {
            scope.spawn(|| {
                let mut connection = Connection::open(address).unwrap();
                while began.elapsed() < time {
                    ask(&mut connection, host, target);
                    answered.fetch_add(1, Relaxed);
                }
            });
        }
    });
    answered.load(Relaxed) as f64 / began.elapsed().as_secs_f64()
}

/// Sends a request with a body of so many bytes, all the while taking the answer's; returns how many came back.
pub(crate) fn exchange(address: SocketAddr, host: &str, method: &str, target: &str, send: u64) -> u64 {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let length = if send > 0 { format!("content-length: {send}\r\n") } else { String::new() };
    write!(stream, "{method} {target} HTTP/1.1\r\nhost: {host}\r\n{length}\r\n").unwrap();
    let mut writer = stream.try_clone().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let piece = vec![b'x'; PIECE];
            let mut left = send;
            while left > 0 {
                let now = left.min(PIECE as u64);
                writer.write_all(&piece[..now as usize]).unwrap();
                left -= now;
            }
        });
        take(&mut BufReader::with_capacity(PIECE, stream))
    })
}

/// Takes a whole answer, and returns the length of its body.
fn take(from: &mut impl BufRead) -> u64 {
    let status = line(from);
    assert!(status.starts_with("HTTP/1.1 200"), "{status}");
    let mut length = None;
    loop {
        let field = line(from).to_ascii_lowercase();
        if field.is_empty() {
            break;
        }
        if let Some(value) = field.strip_prefix("content-length:") {
            length = Some(value.trim().parse().unwrap());
        }
    }
    if let Some(length) = length {
        pass(from, length);
        return length;
    }
    let mut taken = 0;
    loop {
        let size = line(from);
        let size = u64::from_str_radix(size.split(';').next().unwrap(), 16).expect("the size of a chunk");
        pass(from, size);
        assert_eq!(line(from), "", "the end of a chunk");
        if size == 0 {
            return taken;
        }
        taken += size;
    }
}

fn line(from: &mut impl BufRead) -> String {
    let mut line = String::new();
    assert!(from.read_line(&mut line).expect("a line") > 0, "the connection broke");
    line.trim_end().to_owned()
}

fn pass(from: &mut impl BufRead, mut left: u64) {
    while left > 0 {
        let here = from.fill_buf().expect("bytes").len();
        assert!(here > 0, "the body broke off");
        let now = here.min(usize::try_from(left).unwrap_or(usize::MAX));
        from.consume(now);
        left -= now as u64;
    }
}
