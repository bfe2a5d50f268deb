//! What went wrong on the way, in the words of `wasi:http`. The one place where hyper's, rustls's and the system's
//! errors become those.

use super::{HttpError, http_failure};
use std::io;
use tollgate_runtime::EgressError;

/// A failure of an exchange over an open connection.
pub(super) fn of(error: hyper::Error) -> EgressError {
    http_failure(code(error))
}

/// The same, for bodies.
pub(super) fn code(error: hyper::Error) -> HttpError {
    if error.is_parse_too_large() {
        HttpError::HttpResponseHeaderSectionSize(None)
    } else if error.is_incomplete_message() {
        HttpError::HttpResponseIncomplete
    } else if error.is_parse() {
        HttpError::HttpProtocolError
    } else if error.is_canceled() || error.is_closed() {
        HttpError::ConnectionTerminated
    } else {
        let cause = std::error::Error::source(&error).and_then(|cause| cause.downcast_ref::<io::Error>());
        match cause.map(io::Error::kind) {
            // What hyper says of a body that ends before its announced length, or in the middle of a chunk.
            Some(io::ErrorKind::UnexpectedEof) => HttpError::HttpResponseIncomplete,
            Some(io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe) => {
                HttpError::ConnectionTerminated
            }
            _ => HttpError::Hyper(error),
        }
    }
}

/// A failure to open a TCP connection.
pub(super) fn of_tcp(error: &io::Error) -> EgressError {
    http_failure(match error.kind() {
        io::ErrorKind::ConnectionRefused => HttpError::ConnectionRefused,
        io::ErrorKind::TimedOut => return EgressError::Timeout("connect"),
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
            HttpError::DestinationUnavailable
        }
        io::ErrorKind::AddrNotAvailable => HttpError::DestinationIpUnroutable,
        _ => HttpError::ConnectionTerminated,
    })
}

/// A failure of a TLS handshake.
pub(super) fn of_tls(error: io::Error) -> EgressError {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>());
    http_failure(match cause {
        Some(rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented) => {
            HttpError::TlsCertificateError
        }
        Some(rustls::Error::AlertReceived(alert)) => HttpError::TlsAlertReceived {
            alert_id: Some(u8::from(*alert)),
            alert_message: alert.as_str().map(str::to_owned),
        },
        Some(_) => HttpError::TlsProtocolError,
        None => HttpError::Tls(error),
    })
}

/// A failure to resolve a name. The system's own text may name inner servers, so it stays here.
pub(super) fn of_dns() -> EgressError {
    http_failure(HttpError::DnsError { rcode: None, info_code: None })
}
