//! The open loop: requests fall due at a steady rate, whatever the server does, as those of many clients would.
//!
//! A latency counts from the moment when its request was due, not from when it was sent: a server that stalls makes
//! all that fell due meanwhile late, and that shows (what closed loops leave out is known as coordinated omission).
//! One thread sends and reads, woken by a timer of the kernel's to a few microseconds; requests that are due while
//! all connections are busy wait in line, and their wait counts.

use crate::load::Target;
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec};
use rustix::time::{timerfd_create, timerfd_settime};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::net::unix::pipe::Receiver;
use tokio::sync::Notify;
use tokio::task::LocalSet;

/// What an open loop came to.
#[derive(Debug, Clone, Copy)]
pub struct Paced {
    /// Requests that fell due in a second.
    pub asked: f64,
    /// Requests answered in a second, from the first due time to the last answer.
    pub answered: f64,
    /// The median latency, in microseconds.
    pub p50_us: f64,
    /// The latency below which 99 of 100 lie, in microseconds.
    pub p99_us: f64,
    /// The same for 999 of 1,000.
    pub p999_us: f64,
    /// Answers other than 200, and requests that got none.
    pub bad: u64,
    /// Of those, requests that had no whole answer, two seconds after the last one was sent.
    pub unanswered: u64,
}

impl Paced {
    /// Whether the server (and the generator) kept up with the rate.
    pub fn kept_up(&self) -> bool {
        self.answered >= self.asked * 0.97
    }
}

/// Asks at this rate for some seconds.
pub fn open_loop(target: &Target, connections: usize, rate: f64, seconds: u32) -> Paced {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new().block_on(&runtime, run(target, connections, rate, seconds))
}

/// What the sender and the readers share; all are tasks of one thread.
struct Line {
    request: Vec<u8>,
    lanes: Vec<Lane>,
    /// The lanes that wait for a request, the one that waits longest first: were it the last, most lanes would idle
    /// between two bursts, and a server may close a connection that idles.
    free: RefCell<VecDeque<usize>>,
    freed: Notify,
    /// Latencies, in nanoseconds.
    samples: RefCell<Vec<u64>>,
    bad: Cell<u64>,
}

/// A connection, with at most one request at a time.
struct Lane {
    stream: TcpStream,
    due: Cell<Instant>,
}

async fn run(target: &Target, connections: usize, rate: f64, seconds: u32) -> Paced {
    let total = (rate * f64::from(seconds)).max(1.0) as u64;
    let line = Rc::new(open(target, connections, total).await);
    for index in 0..connections {
        tokio::task::spawn_local(read(line.clone(), index));
    }
    // The first request of a connection is another matter: the server accepts, the guest's code comes into caches.
    let warm = Instant::now();
    for index in 0..connections {
        line.send(index, warm);
    }
    line.all_free(Duration::from_secs(5)).await;
    line.samples.borrow_mut().clear();
    line.bad.set(0);

    let start = Instant::now() + Duration::from_millis(1);
    let alarm = Alarm::new();
    let patience = Duration::from_secs(u64::from(seconds) * 2);
    let paced = async {
        for number in 0..total {
            let due = start + Duration::from_secs_f64(number as f64 / rate);
            alarm.until(due).await;
            let index = line.take().await;
            line.send(index, due);
        }
    };
    let _ = tokio::time::timeout(patience, paced).await;
    line.all_free(Duration::from_secs(2)).await;
    let took = start.elapsed().as_secs_f64();
    let answered = line.samples.borrow().len() as u64;
    let unanswered = total.saturating_sub(answered + line.bad.get());
    line.samples.borrow_mut().sort_unstable();
    let samples = line.samples.borrow();
    let percentile = |thousandths: usize| {
        samples.get(samples.len().saturating_sub(1) * thousandths / 1_000).map_or(0.0, |&ns| ns as f64 / 1e3)
    };
    Paced {
        asked: rate,
        answered: answered as f64 / took.max(f64::from(seconds)),
        p50_us: percentile(500),
        p99_us: percentile(990),
        p999_us: percentile(999),
        bad: line.bad.get() + unanswered,
        unanswered,
    }
}

async fn open(target: &Target, connections: usize, total: u64) -> Line {
    let mut lanes = Vec::with_capacity(connections);
    for _ in 0..connections {
        let stream = TcpStream::connect(target.address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        lanes.push(Lane { stream, due: Cell::new(Instant::now()) });
    }
    let request = format!("GET {} HTTP/1.1\r\nHost: {}\r\n\r\n", target.path, target.host);
    Line {
        request: request.into_bytes(),
        lanes,
        free: RefCell::default(),
        freed: Notify::new(),
        samples: RefCell::new(Vec::with_capacity(total as usize)),
        bad: Cell::new(0),
    }
}

impl Line {
    /// A lane that is free, as soon as one is.
    async fn take(&self) -> usize {
        loop {
            let free = self.free.borrow_mut().pop_front();
            match free {
                Some(index) => return index,
                None => self.freed.notified().await,
            }
        }
    }

    /// A request is some hundred bytes on a connection with nothing in flight: the kernel takes it at once.
    fn send(&self, index: usize, due: Instant) {
        let lane = &self.lanes[index];
        lane.due.set(due);
        if lane.stream.try_write(&self.request).ok() != Some(self.request.len()) {
            self.bad.set(self.bad.get() + 1);
        }
    }

    fn done(&self, index: usize, good: bool) {
        if good {
            let latency = self.lanes[index].due.get().elapsed();
            self.samples.borrow_mut().push(latency.as_nanos() as u64);
        } else {
            self.bad.set(self.bad.get() + 1);
        }
        self.free.borrow_mut().push_back(index);
        self.freed.notify_one();
    }

    /// Waits until nothing is in flight, but not for ever.
    async fn all_free(&self, patience: Duration) {
        let all = async {
            while self.free.borrow().len() < self.lanes.len() {
                self.freed.notified().await;
            }
        };
        let _ = tokio::time::timeout(patience, all).await;
    }
}

/// Reads answer after answer of a lane. One that the server closes takes no more requests.
async fn read(line: Rc<Line>, index: usize) {
    let stream = &line.lanes[index].stream;
    let mut buffer = Vec::with_capacity(4_096);
    while stream.readable().await.is_ok() {
        match stream.try_read_buf(&mut buffer) {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => continue,
            Err(_) => return,
        }
        if let Some(good) = whole(&buffer) {
            buffer.clear();
            line.done(index, good);
        }
    }
}

/// Whether the answer is there whole, and if so, whether it is a 200.
fn whole(bytes: &[u8]) -> Option<bool> {
    let head = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    let body = &bytes[head + 4..];
    let mut fields = bytes[..head].split(|&byte| byte == b'\n').skip(1).filter_map(|field| {
        let colon = field.iter().position(|&byte| byte == b':')?;
        Some((&field[..colon], field[colon + 1..].trim_ascii()))
    });
    let length = fields.find_map(|(name, value)| {
        if !name.eq_ignore_ascii_case(b"content-length") {
            return None;
        }
        std::str::from_utf8(value).ok()?.parse::<usize>().ok()
    });
    // Without a length it is in chunks, and the last one is empty.
    let is_whole = length.map_or_else(|| body.ends_with(b"0\r\n\r\n"), |length| body.len() >= length);
    is_whole.then(|| bytes[..head].get(9..12) == Some(b"200"))
}

/// A timer of the kernel's: tokio's own counts in milliseconds. It is read as a pipe is.
struct Alarm {
    timer: OwnedFd,
    rings: Receiver,
}

impl Alarm {
    fn new() -> Self {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags).unwrap();
        let rings = Receiver::from_owned_fd_unchecked(timer.try_clone().unwrap()).unwrap();
        Self { timer, rings }
    }

    async fn until(&self, due: Instant) {
        let left = due.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        let once = Itimerspec {
            it_interval: Timespec { tv_sec: 0, tv_nsec: 0 },
            it_value: Timespec { tv_sec: left.as_secs() as i64, tv_nsec: i64::from(left.subsec_nanos()) },
        };
        timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &once).unwrap();
        loop {
            self.rings.readable().await.unwrap();
            if self.rings.try_read(&mut [0; 8]).is_ok() {
                return;
            }
        }
    }
}
