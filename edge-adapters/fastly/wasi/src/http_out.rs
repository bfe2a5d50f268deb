//! `wasi:http/outgoing-handler`, and the requests and responses that go with it.

use crate::Wasi;
use crate::bindings::exports::wasi::http::outgoing_handler;
use crate::bindings::exports::wasi::http::types::{
    self, DnsErrorPayload, ErrorCode, GuestFutureIncomingResponse, GuestIncomingResponse,
    GuestOutgoingRequest, GuestRequestOptions, Headers, Method, Scheme, TlsAlertReceivedPayload,
};
use crate::bindings::exports::wasi::io::poll::Pollable;
use crate::bindings::wasi::clocks::monotonic_clock as clock;
use crate::bodies::{consumed, written};
use crate::pending::{Pending, State};
use crate::run::{self, Forbidden};
use crate::sink::{End, Sink};
use crate::source::Source;
use crate::{fields, poll};
use http::header::{CONTENT_LENGTH, HOST, HeaderValue};
use http::uri::Uri;
use http::{HeaderMap, StatusCode};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use tollgate_fastly_platform::bindings::fastly::compute::async_io;
use tollgate_fastly_platform::bindings::fastly::compute::backend::Backend;
use tollgate_fastly_platform::bindings::fastly::compute::http_req::{self, ErrorWithDetail, SendErrorDetail};
use tollgate_fastly_platform::{Failure, empty, framed, request, response_head, write};
use tollgate_request::content_length;

/// A request that an app makes.
pub(crate) struct Outgoing {
    method: RefCell<Method>,
    path_with_query: RefCell<Option<String>>,
    scheme: RefCell<Option<Scheme>>,
    authority: RefCell<Option<String>>,
    headers: HeaderMap,
    sink: RefCell<Option<Rc<Sink>>>,
}

/// How long an app wants to wait, nanoseconds. The backend has the platform's times to connect and between bytes.
#[derive(Default)]
pub(crate) struct Options {
    connect: Cell<Option<u64>>,
    first_byte: Cell<Option<u64>>,
    between_bytes: Cell<Option<u64>>,
}

/// A response that an app got.
pub(crate) struct Received {
    status: StatusCode,
    headers: HeaderMap,
    body: Cell<Option<Source>>,
}

impl outgoing_handler::Guest for Wasi {
    fn handle(
        request: types::OutgoingRequest,
        options: Option<types::RequestOptions>,
    ) -> Result<types::FutureIncomingResponse, ErrorCode> {
        let request = request.into_inner::<Outgoing>();
        let first_byte = options.and_then(|options| options.get::<Options>().first_byte.get());
        let handle = request.send()?;
        let until = first_byte.map(|nanos| clock::now().saturating_add(nanos));
        Ok(types::FutureIncomingResponse::new(Rc::new(Pending::new(handle, until))))
    }
}

impl Outgoing {
    /// Sends it to the backend of its origin, if the app may ask that.
    fn send(self) -> Result<async_io::Pollable, ErrorCode> {
        let uri = self.uri().ok_or(ErrorCode::HttpRequestUriInvalid)?;
        let origin = origin(&uri).ok_or(ErrorCode::HttpRequestUriInvalid)?;
        let backend = run::backend(&origin).map_err(|forbidden| match forbidden {
            Forbidden::TooMany => ErrorCode::ConnectionLimitReached,
            Forbidden::Denied => ErrorCode::HttpRequestDenied,
        })?;
        let (mut parts, ()) = http::Request::new(()).into_parts();
        let method = method(&self.method.borrow()).parse();
        parts.method = method.map_err(|_| ErrorCode::HttpRequestMethodInvalid)?;
        parts.headers = self.headers;
        // With the port, which the platform would leave out.
        let authority = uri.authority().and_then(|authority| HeaderValue::from_str(authority.as_str()).ok());
        parts.headers.insert(HOST, authority.ok_or(ErrorCode::HttpRequestUriInvalid)?);
        parts.uri = uri;
        let backend = Backend::open(&backend).map_err(|_| ErrorCode::DestinationNotFound)?;
        let failed = |_: Failure| ErrorCode::InternalError(None);
        let mut request = request(&parts).map_err(failed)?;
        if parts.headers.contains_key(CONTENT_LENGTH) {
            request = framed(request).map_err(failed)?;
        }
        let body = empty().map_err(failed)?;
        let sink = self.sink.into_inner();
        let sent = match sink.as_ref().map(|sink| (sink, sink.end())) {
            None => http_req::send_async_uncached(request, body, &backend),
            Some((sink, End::Open)) => {
                let sent = http_req::send_async_uncached_streaming(request, &body, &backend);
                sink.attach(body);
                sent
            }
            Some((sink, End::Whole)) => {
                write(&body, &sink.take_held()).map_err(failed)?;
                http_req::send_async_uncached(request, body, &backend)
            }
            Some((sink, _)) => return Err(ErrorCode::HttpRequestBodySize(Some(sink.bytes()))),
        };
        sent.map_err(|_| ErrorCode::DestinationUnavailable)
    }

    fn uri(&self) -> Option<Uri> {
        let scheme = match &*self.scheme.borrow() {
            Some(Scheme::Http) => "http".to_owned(),
            None | Some(Scheme::Https) => "https".to_owned(),
            Some(Scheme::Other(other)) => other.clone(),
        };
        let authority = self.authority.borrow().clone()?;
        let path = self.path_with_query.borrow().clone().unwrap_or_else(|| "/".to_owned());
        Uri::builder().scheme(scheme.as_str()).authority(authority).path_and_query(path).build().ok()
    }
}

/// Scheme, host and port as grants have them. Another spelling of the same is granted nowhere.
fn origin(uri: &Uri) -> Option<String> {
    let scheme = uri.scheme_str()?;
    let usual = match scheme {
        "http" => 80,
        "https" => 443,
        _ => return None,
    };
    let authority = uri.authority().filter(|authority| !authority.as_str().contains('@'))?;
    let host = authority.host().trim_end_matches('.').to_ascii_lowercase();
    Some(format!("{scheme}://{host}:{}", authority.port_u16().unwrap_or(usual)))
}

fn method(method: &Method) -> &str {
    match method {
        Method::Get => "GET",
        Method::Head => "HEAD",
        Method::Post => "POST",
        Method::Put => "PUT",
        Method::Delete => "DELETE",
        Method::Connect => "CONNECT",
        Method::Options => "OPTIONS",
        Method::Trace => "TRACE",
        Method::Patch => "PATCH",
        Method::Other(other) => other,
    }
}

/// The answer, once the platform has it.
fn received(handle: async_io::Pollable) -> Result<types::IncomingResponse, ErrorCode> {
    let (response, body) = http_req::await_response(handle).map_err(|error| why(&error))?;
    let (status, headers) = response_head(&response).map_err(|_| ErrorCode::HttpProtocolError)?;
    let source = Source::response(body, content_length(&headers));
    let headers = fields::received(headers);
    Ok(types::IncomingResponse::new(Received { status, headers, body: Cell::new(Some(source)) }))
}

fn why(error: &ErrorWithDetail) -> ErrorCode {
    match &error.detail {
        None => ErrorCode::DestinationUnavailable,
        Some(detail) => match detail {
            SendErrorDetail::DnsTimeout => ErrorCode::DnsTimeout,
            SendErrorDetail::DnsError(dns) => ErrorCode::DnsError(DnsErrorPayload {
                rcode: dns.rcode.map(|rcode| rcode.to_string()),
                info_code: dns.info_code,
            }),
            SendErrorDetail::DestinationNotFound => ErrorCode::DestinationNotFound,
            SendErrorDetail::DestinationUnavailable => ErrorCode::DestinationUnavailable,
            SendErrorDetail::DestinationIpUnroutable => ErrorCode::DestinationIpUnroutable,
            SendErrorDetail::ConnectionRefused => ErrorCode::ConnectionRefused,
            SendErrorDetail::ConnectionTerminated => ErrorCode::ConnectionTerminated,
            SendErrorDetail::ConnectionTimeout => ErrorCode::ConnectionTimeout,
            SendErrorDetail::ConnectionLimitReached => ErrorCode::ConnectionLimitReached,
            SendErrorDetail::TlsCertificateError => ErrorCode::TlsCertificateError,
            SendErrorDetail::TlsProtocolError => ErrorCode::TlsProtocolError,
            SendErrorDetail::TlsAlertReceived(alert) => {
                ErrorCode::TlsAlertReceived(TlsAlertReceivedPayload {
                    alert_id: alert.id,
                    alert_message: None,
                })
            }
            SendErrorDetail::HttpIncompleteResponse => ErrorCode::HttpResponseIncomplete,
            SendErrorDetail::HttpResponseTimeout => ErrorCode::HttpResponseTimeout,
            SendErrorDetail::HttpProtocolError => ErrorCode::HttpProtocolError,
            _ => ErrorCode::InternalError(None),
        },
    }
}

impl GuestOutgoingRequest for Outgoing {
    fn new(headers: Headers) -> Self {
        Self {
            method: RefCell::new(Method::Get),
            path_with_query: RefCell::new(None),
            scheme: RefCell::new(None),
            authority: RefCell::new(None),
            headers: fields::taken(headers),
            sink: RefCell::new(None),
        }
    }

    fn body(&self) -> Result<types::OutgoingBody, ()> {
        written(&self.sink, &self.headers, u64::MAX, true)
    }

    fn method(&self) -> Method {
        self.method.borrow().clone()
    }

    fn set_method(&self, wanted: Method) -> Result<(), ()> {
        method(&wanted).parse::<http::Method>().map_err(|_| ())?;
        self.method.replace(wanted);
        Ok(())
    }

    fn path_with_query(&self) -> Option<String> {
        self.path_with_query.borrow().clone()
    }

    fn set_path_with_query(&self, path_with_query: Option<String>) -> Result<(), ()> {
        self.path_with_query.replace(path_with_query);
        Ok(())
    }

    fn scheme(&self) -> Option<Scheme> {
        self.scheme.borrow().clone()
    }

    fn set_scheme(&self, scheme: Option<Scheme>) -> Result<(), ()> {
        self.scheme.replace(scheme);
        Ok(())
    }

    fn authority(&self) -> Option<String> {
        self.authority.borrow().clone()
    }

    fn set_authority(&self, authority: Option<String>) -> Result<(), ()> {
        self.authority.replace(authority);
        Ok(())
    }

    fn headers(&self) -> Headers {
        fields::fixed(&self.headers)
    }
}

impl GuestRequestOptions for Options {
    fn new() -> Self {
        Self::default()
    }

    fn connect_timeout(&self) -> Option<u64> {
        self.connect.get()
    }

    fn set_connect_timeout(&self, duration: Option<u64>) -> Result<(), ()> {
        self.connect.set(duration);
        Ok(())
    }

    fn first_byte_timeout(&self) -> Option<u64> {
        self.first_byte.get()
    }

    fn set_first_byte_timeout(&self, duration: Option<u64>) -> Result<(), ()> {
        self.first_byte.set(duration);
        Ok(())
    }

    fn between_bytes_timeout(&self) -> Option<u64> {
        self.between_bytes.get()
    }

    fn set_between_bytes_timeout(&self, duration: Option<u64>) -> Result<(), ()> {
        self.between_bytes.set(duration);
        Ok(())
    }
}

impl GuestIncomingResponse for Received {
    fn status(&self) -> u16 {
        self.status.as_u16()
    }

    fn headers(&self) -> Headers {
        fields::fixed(&self.headers)
    }

    fn consume(&self) -> Result<types::IncomingBody, ()> {
        consumed(&self.body)
    }
}

impl GuestFutureIncomingResponse for Rc<Pending> {
    fn subscribe(&self) -> Pollable {
        poll::response(self.clone())
    }

    fn get(&self) -> Option<Result<Result<types::IncomingResponse, ErrorCode>, ()>> {
        if !self.is_ready() {
            return None;
        }
        let late = self.is_late();
        Some(match self.take() {
            State::Taken => Err(()),
            State::Waiting(handle) if late && !handle.is_ready() => Ok(Err(ErrorCode::HttpResponseTimeout)),
            State::Waiting(handle) => Ok(received(handle)),
        })
    }
}
