//! One connection, from its first byte to its end.

use super::detect::{Protocol, detect};
use super::gauge::Gauges;
use super::refusal::TIMED_OUT;
use super::service::{Activity, Requests};
use super::stream::{Cut, Guarded, OverTcp};
use super::{Certificate, Handler, ListenerOptions};
use bytes::Bytes;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::io::{AsyncWriteExt, Interest};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tollgate_runtime::Peer;

/// How long the last words to a client that was too slow may take.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// What all connections of a listener share.
pub(super) struct Server {
    pub(super) options: ListenerOptions,
    pub(super) handler: Arc<dyn Handler>,
    pub(super) tls: Option<Arc<Certificate>>,
    pub(super) gauges: Arc<Gauges>,
    pub(super) drain: CancellationToken,
    pub(super) cut: CancellationToken,
}

impl Server {
    /// Serves one connection to its end.
    pub(super) async fn serve(self: Arc<Self>, tcp: TcpStream, address: IpAddr) {
        let cut = self.cut.clone();
        tokio::select! {
            () = self.connection(tcp, address) => {}
            () = cut.cancelled() => {}
        }
    }

    async fn connection(self: Arc<Self>, tcp: TcpStream, address: IpAddr) {
        // Only a lost optimisation if it fails; what matters will fail soon after.
        if let Err(error) = tcp.set_nodelay(true) {
            tracing::debug!(target: "tollgate::listener", %error, "no-delay can't be set");
        }
        match &self.tls {
            Some(certificate) => {
                let handshake = timeout(self.options.handshake, certificate.acceptor().accept(tcp));
                let Some(Ok(Ok(stream))) = self.unless_draining(handshake).await else {
                    self.gauges.handshakes_failed.fetch_add(1, Relaxed);
                    return;
                };
                let chosen = stream.get_ref().1.alpn_protocol();
                let protocol =
                    if chosen == Some(b"h2".as_slice()) { Protocol::Http2 } else { Protocol::Http1 };
                self.speak(stream, protocol, Bytes::new(), Peer { address, tls: true }).await;
            }
            None => {
                let mut tcp = tcp;
                match self.unless_draining(timeout(self.options.head, detect(&mut tcp))).await {
                    Some(Ok(Ok(Some((protocol, ahead))))) => {
                        self.speak(tcp, protocol, ahead, Peer { address, tls: false }).await;
                    }
                    Some(Err(_)) => drop(self.gauges.head_timeouts.fetch_add(1, Relaxed)),
                    Some(Ok(Ok(None) | Err(_))) | None => {}
                }
            }
        }
    }

    /// None when the host stops first: before a request nothing is owed to a connection.
    async fn unless_draining<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            done = work => Some(done),
            () = self.drain.cancelled() => None,
        }
    }

    async fn speak<S: OverTcp>(self: &Arc<Self>, stream: S, protocol: Protocol, ahead: Bytes, peer: Peer) {
        let cut = Cut::default();
        let activity = Arc::new(Activity::default());
        let requests = Requests {
            server: Arc::clone(self),
            peer,
            activity: Arc::clone(&activity),
            cut: (protocol == Protocol::Http1).then(|| cut.clone()),
        };
        let guarded = TokioIo::new(Guarded::new(stream, ahead, self.options.write_pause, cut));
        match protocol {
            Protocol::Http1 => self.http1(guarded, requests).await,
            Protocol::Http2 => self.http2(guarded, requests, activity).await,
        }
    }

    async fn http1<S: OverTcp>(&self, stream: TokioIo<Guarded<S>>, requests: Requests) {
        let options = &self.options;
        let mut builder = http1::Builder::new();
        builder
            .timer(TokioTimer::new())
            .header_read_timeout(options.head)
            .max_header_size(options.head_bytes)
            // The buffer has to hold a whole head, and hyper takes no less than 8 KiB.
            .max_buf_size((options.head_bytes + 1_024).max(64 << 10));
        if options.headers != 100 {
            // Hyper's own default lives on the stack; any other number costs an allocation for each request.
            builder.max_headers(options.headers);
        }
        let mut connection = builder.serve_connection(stream, requests);
        let ended = tokio::select! {
            ended = Pin::new(&mut connection) => ended,
            () = self.drain.cancelled() => {
                Pin::new(&mut connection).graceful_shutdown();
                Pin::new(&mut connection).await
            }
        };
        let Err(error) = ended else { return };
        if !error.is_timeout() {
            tracing::debug!(target: "tollgate::listener", %error, "a connection ended");
            return;
        }
        let parts = connection.into_parts();
        if !parts.read_buf.is_empty() {
            // It had begun to ask: it is told. An idle connection is closed without a word.
            self.gauges.head_timeouts.fetch_add(1, Relaxed);
            last_words(parts.io.into_inner()).await;
        }
    }

    async fn http2<S: OverTcp>(
        &self,
        stream: TokioIo<Guarded<S>>,
        requests: Requests,
        activity: Arc<Activity>,
    ) {
        let (options, http2) = (&self.options, &self.options.http2);
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder
            .timer(TokioTimer::new())
            .max_concurrent_streams(http2.streams)
            .max_header_list_size(u32::try_from(options.head_bytes).unwrap_or(u32::MAX))
            .initial_stream_window_size(http2.stream_window)
            .initial_connection_window_size(http2.connection_window)
            .max_send_buf_size(http2.send_bytes)
            .max_pending_accept_reset_streams(http2.pending_resets)
            .max_local_error_reset_streams(http2.error_resets)
            .keep_alive_interval(http2.ping)
            .keep_alive_timeout(http2.ping_answer);
        let mut connection = pin!(builder.serve_connection(stream, requests));
        let mut stalled = pin!(activity.stalls.longer_than(options.write_pause));
        let ended = tokio::select! {
            ended = &mut connection => Some(ended),
            () = self.drain.cancelled() => None,
            () = activity.idle_for(options.head) => None,
            () = &mut stalled => return self.stalled(),
        };
        let ended = match ended {
            Some(ended) => ended,
            None => {
                // Says goodbye, ends the streams there are, and then the connection. A client that answers
                // neither gets no longer than an idle one.
                connection.as_mut().graceful_shutdown();
                tokio::select! {
                    ended = &mut connection => ended,
                    () = activity.idle_for(options.head) => Ok(()),
                    () = &mut stalled => return self.stalled(),
                }
            }
        };
        if let Err(error) = ended {
            tracing::debug!(target: "tollgate::listener", %error, "a connection ended");
        }
    }
}

impl Server {
    fn stalled(&self) {
        self.gauges.stalled.fetch_add(1, Relaxed);
        tracing::debug!(target: "tollgate::listener", "a client did not take its responses");
    }
}

/// Tells a slow client why, and closes.
async fn last_words<S: OverTcp>(mut stream: Guarded<S>) {
    let said = async {
        stream.write_all(TIMED_OUT).await?;
        stream.shutdown().await?;
        // A socket that is closed with unread bytes resets, and the words would be lost.
        let tcp = stream.tcp();
        while tcp.ready(Interest::READABLE).await?.is_readable() {
            let mut rest = [0; 1_024];
            match tcp.try_read(&mut rest) {
                Ok(0) => break,
                Err(error) if error.kind() != std::io::ErrorKind::WouldBlock => return Err(error),
                Ok(_) | Err(_) => {}
            }
        }
        Ok::<_, std::io::Error>(())
    };
    // Whether the client listens is its own affair.
    drop(timeout(LAST_WORDS, said).await);
}
