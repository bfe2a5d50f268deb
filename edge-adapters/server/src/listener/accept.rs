//! The accept loop.

use super::ListenerOptions;
use super::connection::Server;
use super::gauge::Gauges;
use rustix::io::Errno;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// A socket that listens.
pub(super) fn bind(options: &ListenerOptions) -> io::Result<TcpListener> {
    let domain = if options.address.is_ipv6() { socket2::Domain::IPV6 } else { socket2::Domain::IPV4 };
    let socket = socket2::Socket::new(domain, socket2::Type::STREAM, Some(socket2::Protocol::TCP))?;
    // A restart must not wait for connections of before that are still being closed.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    // Left to itself the system holds tens of megabytes of each connection, and works through what a flood brings of
    // them in steps of milliseconds, before anything else on that core. It counts its own overhead, and doubles.
    socket.set_recv_buffer_size(options.receive_bytes / 2)?;
    socket.bind(&options.address.into())?;
    socket.listen(i32::try_from(options.backlog).unwrap_or(i32::MAX))?;
    TcpListener::from_std(socket.into())
}

/// What an error of `accept` means for the loop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum AcceptError {
    /// The connection broke before it was accepted: the next one may be well.
    Connection,
    /// The host has run out of something. To try again at once would only spin.
    Resources,
    /// Anything else. The loop goes on all the same, with a pause.
    Other,
}

impl AcceptError {
    pub(super) fn of(error: &io::Error) -> Self {
        let Some(errno) = Errno::from_io_error(error) else { return Self::Other };
        match errno {
            Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM => Self::Resources,
            // Linux passes on what is already wrong with the new socket as an error of accept.
            Errno::CONNABORTED
            | Errno::CONNRESET
            | Errno::CONNREFUSED
            | Errno::INTR
            | Errno::AGAIN
            | Errno::PROTO
            | Errno::PERM
            | Errno::NETDOWN
            | Errno::NETUNREACH
            | Errno::NOPROTOOPT
            | Errno::HOSTDOWN
            | Errno::HOSTUNREACH
            | Errno::NONET
            | Errno::OPNOTSUPP
            | Errno::TIMEDOUT => Self::Connection,
            _ => Self::Other,
        }
    }
}

/// The pause after each error in a row: twice the one before.
#[derive(Debug, Default)]
pub(super) struct Backoff(Option<Duration>);

impl Backoff {
    pub(super) fn next(&mut self) -> Duration {
        let pause = self.0.map_or(FIRST_PAUSE, |last| (last * 2).min(LONGEST_PAUSE));
        self.0 = Some(pause);
        pause
    }

    pub(super) fn reset(&mut self) {
        self.0 = None;
    }
}

pub(super) struct Acceptor {
    pub(super) socket: TcpListener,
    pub(super) server: Arc<Server>,
    pub(super) gauges: Arc<Gauges>,
    pub(super) tasks: TaskTracker,
}

impl Acceptor {
    pub(super) async fn run(self, drain: CancellationToken) {
        let mut backoff = Backoff::default();
        loop {
            let accepted = tokio::select! {
                accepted = self.socket.accept() => accepted,
                () = drain.cancelled() => return,
            };
            match accepted {
                Ok((tcp, address)) => {
                    backoff.reset();
                    self.take(tcp, address);
                }
                Err(error) => {
                    let kind = AcceptError::of(&error);
                    self.gauges.accept_error(kind);
                    if kind == AcceptError::Connection {
                        continue;
                    }
                    let pause = backoff.next();
                    tracing::warn!(target: "tollgate::listener", %error, ?pause, "can't accept connections");
                    tokio::select! {
                        () = tokio::time::sleep(pause) => {}
                        () = drain.cancelled() => return,
                    }
                }
            }
        }
    }

    fn take(&self, tcp: TcpStream, address: SocketAddr) {
        // One spelling for a client that comes over a dual-stack socket.
        let address: IpAddr = address.ip().to_canonical();
        // Beyond a cap the connection is closed here, by being dropped.
        let Some(place) = self.gauges.admit(address) else { return };
        let server = Arc::clone(&self.server);
        self.tasks.spawn(async move {
            server.serve(tcp, address).await;
            drop(place);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_connection_is_not_the_hosts_trouble_and_a_lack_of_descriptors_is() {
        for (errno, kind) in [
            (Errno::CONNABORTED, AcceptError::Connection),
            (Errno::PROTO, AcceptError::Connection),
            (Errno::MFILE, AcceptError::Resources),
            (Errno::NFILE, AcceptError::Resources),
            (Errno::NOMEM, AcceptError::Resources),
            (Errno::NOBUFS, AcceptError::Resources),
            (Errno::BADF, AcceptError::Other),
        ] {
            assert_eq!(AcceptError::of(&io::Error::from(errno)), kind, "{errno}");
        }
        assert_eq!(AcceptError::of(&io::Error::other("?")), AcceptError::Other);
    }

    #[test]
    fn the_pause_grows_to_its_bound_and_begins_anew_after_a_success() {
        let mut backoff = Backoff::default();
        let pauses: Vec<_> = (0..10).map(|_| backoff.next().as_millis()).collect();
        assert_eq!(pauses, [5, 10, 20, 40, 80, 160, 320, 640, 1_000, 1_000]);
        backoff.reset();
        assert_eq!(backoff.next(), FIRST_PAUSE);
    }
}
