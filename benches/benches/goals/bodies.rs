//! Goal 8: a body of 1 GiB through a guest, in each direction, beside bare hyper in a process of its own; and the
//! memory of the host meanwhile.

use crate::client::exchange;
use crate::host::{Running, mib};
use crate::report::{Bound, Verdict, in_turns, median, ratio, seconds};
use crate::site::{WIDE, WIDE_TOTALS, one};
use bytes::Bytes;
use http_body_util::{BodyExt, Either, Full};
use hyper::body::{Body, Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::pin::Pin;
use std::process::{Child, Command, Stdio};
use std::task::{Context, Poll};
use testkit::{App, Site};

/// The argument that makes this program bare hyper.
pub(crate) const BARE_SERVER: &str = "--bare-server";

const SIZE: u64 = 1 << 30;
const PIECE: usize = 64 << 10;
const ROUNDS: usize = 3;

/// How much more memory counts as the same: what a few connections and streams may hold.
const FLAT_MIB: f64 = 16.0;

/// A direction: its name, the guest, and what is asked for.
const WAYS: [(&str, &str, &str, &str, bool); 3] = [
    ("up: the guest takes all", "bytes_in", "POST", "/take", true),
    ("down: the guest makes all", "big_body", "GET", "/give?n=1073741824&piece=65536", false),
    ("through: the guest sends back what comes", "echo", "POST", "/echo", true),
];

pub(crate) fn measure() -> Vec<Verdict> {
    let bare = Bare::start();
    let mut verdicts = Vec::new();
    for (way, guest, method, target, up) in WAYS {
        let case = one(App::guest(guest)).limits(WIDE).totals(WIDE_TOTALS);
        let site: Site = case.write();
        let host = Running::start(&site);
        let send = if up { SIZE } else { 0 };
        let transfer = |address: SocketAddr| {
            seconds(|| {
                let came = exchange(address, "acme.test", method, target, send);
                assert!(came >= if target == "/take" { 1 } else { SIZE }, "{came} bytes came");
            })
        };
        // Once through, so that what every host takes for its first body is there.
        transfer(host.address);
        let (before, cpu) = (host.settled(), host.cpu());
        let (took, most) =
            host.most_during(|| in_turns::<2>(ROUNDS, |arm| transfer([host.address, bare.address][arm])));
        let cpu = (host.cpu() - cpu).as_secs_f64() / ROUNDS as f64;
        let [ours, theirs] = took;
        let (rate, grew) = (ratio(&theirs, &ours), mib(most.saturating_sub(before.anon)));
        let records = testkit::Log::of(site.path()).records_from(1);
        let record =
            records.iter().rev().find(|record| record.outcome() == "answered:200").expect("a record");
        println!(
            "{way:<42} {:>6.0} MiB/s, bare hyper {:>6.0} MiB/s: {:.0} %; CPU {cpu:.2} s a GiB, {:.2} s of it in runs, \
             {} Mfuel, {} calls; memory {:.1} MiB + {grew:.1} MiB",
            1024.0 / median(&ours),
            1024.0 / median(&theirs),
            rate * 100.0,
            record.used("cpu_ns") as f64 / 1e9,
            record.used("fuel") / 1_000_000,
            record.used("host_calls"),
            mib(before.anon),
        );
        verdicts.push(Verdict::new(8, way, rate * 100.0, Bound::AtLeast(70.0), "%"));
        let name = format!("{way}: memory grows by");
        verdicts.push(Verdict::new(8, &name, grew, Bound::AtMost(FLAT_MIB), "MiB"));
    }
    verdicts
}

/// Bare hyper in a process of its own, ended when dropped.
struct Bare {
    child: Child,
    address: SocketAddr,
}

impl Bare {
    fn start() -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        let mut child = command.arg(BARE_SERVER).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self { child, address: line.trim().parse().unwrap() }
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Serves until it is ended: `/take`, `/give`, `/echo`.
pub(crate) fn serve_bare() {
    benchkit::block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        println!("{}", listener.local_addr().unwrap());
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            stream.set_nodelay(true).unwrap();
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(answer)));
        }
    });
}

type Answered = Either<Either<Full<Bytes>, Incoming>, Give>;

async fn answer(request: http::Request<Incoming>) -> Result<http::Response<Answered>, Infallible> {
    let body = match request.uri().path() {
        "/give" => Either::Right(Give { left: SIZE, piece: Bytes::from(vec![b'x'; PIECE]) }),
        "/echo" => {
            // Without a length, as the guest sends it.
            let mut response = http::Response::new(Either::Left(Either::Right(request.into_body())));
            response.headers_mut().insert("transfer-encoding", http::HeaderValue::from_static("chunked"));
            return Ok(response);
        }
        _ => {
            let (mut body, mut taken) = (request.into_body(), 0);
            while let Some(Ok(frame)) = body.frame().await {
                taken += frame.data_ref().map_or(0, Bytes::len);
            }
            Either::Left(Either::Left(Full::from(format!("{taken} bytes\n"))))
        }
    };
    Ok(http::Response::new(body))
}

/// So many bytes, in pieces.
struct Give {
    left: u64,
    piece: Bytes,
}

impl Body for Give {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let now = self.left.min(self.piece.len() as u64);
        self.left -= now;
        Poll::Ready(Some(Ok(Frame::data(self.piece.slice(..now as usize)))))
    }
}
