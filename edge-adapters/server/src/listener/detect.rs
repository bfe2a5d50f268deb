//! Whether a connection in clear text speaks HTTP/2 from the start (RFC 9113, section 3.3) or HTTP/1.

use bytes::{Bytes, BytesMut};
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    Http1,
    Http2,
}

/// Reads until it is clear which protocol it is; gives back what was read. None if the client left first.
pub(super) async fn detect(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<(Protocol, Bytes)>> {
    let mut read = BytesMut::with_capacity(PREFACE.len());
    loop {
        if stream.read_buf(&mut read).await? == 0 {
            return Ok(None);
        }
        let common = read.len().min(PREFACE.len());
        if read.get(..common) != PREFACE.get(..common) {
            return Ok(Some((Protocol::Http1, read.freeze())));
        }
        if common == PREFACE.len() {
            return Ok(Some((Protocol::Http2, read.freeze())));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn of(mut bytes: &[u8]) -> Option<(Protocol, Bytes)> {
        detect(&mut bytes).await.unwrap()
    }

    #[tokio::test]
    async fn the_preface_is_http2_and_everything_else_is_http1() {
        assert_eq!(of(PREFACE).await.unwrap().0, Protocol::Http2);
        assert_eq!(of(b"GET / HTTP/1.1\r\n").await.unwrap().0, Protocol::Http1);
        assert_eq!(of(b"PRI * HTTP/1.1\r\n\r\n").await.unwrap().0, Protocol::Http1);
        assert_eq!(of(b"P").await, None, "not yet clear");
        assert_eq!(of(b"").await, None);
    }

    #[tokio::test]
    async fn nothing_that_was_read_is_lost() {
        let long = [PREFACE, b"and more"].concat();
        let (_, read) = of(&long).await.unwrap();
        assert!(long.starts_with(&read));
        let (_, read) = of(b"POST /").await.unwrap();
        assert_eq!(&read[..], b"POST /");
    }
}
