//! `wasi:http/types`: the request that an app gets, and the response that it gives.

use crate::Wasi;
use crate::bindings::exports::tollgate::fastly::calls;
use crate::bindings::exports::wasi::http::types::{
    self, ErrorCode, GuestIncomingRequest, GuestOutgoingResponse, GuestResponseOutparam, Headers, Method,
    Scheme,
};
use crate::bodies::{consumed, written};
use crate::fields;
use crate::run::{self, Answered};
use crate::sink::Sink;
use crate::source::Source;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use tollgate_request::content_length;

/// The request of a run.
pub(crate) struct Request {
    method: String,
    scheme: String,
    authority: String,
    path_with_query: String,
    headers: HeaderMap,
    body: Cell<Option<Source>>,
}

/// Where the answer of a run goes.
pub(crate) struct Outparam {
    run: u64,
}

/// A response that an app makes.
pub(crate) struct Answering {
    status: Cell<StatusCode>,
    headers: HeaderMap,
    sink: RefCell<Option<Rc<Sink>>>,
}

impl calls::Guest for Wasi {
    fn request() -> types::IncomingRequest {
        // The bundler's part asks within a run, and once.
        let Some((head, body)) = run::take_request() else { std::process::abort() };
        let mut headers = HeaderMap::new();
        for (name, value) in &head.headers {
            if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::from_bytes(value)) {
                headers.append(name, value);
            }
        }
        let source = Source::request(body, content_length(&headers));
        types::IncomingRequest::new(Request {
            method: head.method,
            scheme: head.scheme,
            authority: head.authority,
            path_with_query: head.path_with_query,
            headers: fields::received(headers),
            body: Cell::new(Some(source)),
        })
    }

    fn response_out() -> types::ResponseOutparam {
        types::ResponseOutparam::new(Outparam { run: run::number() })
    }
}

impl GuestIncomingRequest for Request {
    fn method(&self) -> Method {
        match self.method.as_str() {
            "GET" => Method::Get,
            "HEAD" => Method::Head,
            "POST" => Method::Post,
            "PUT" => Method::Put,
            "DELETE" => Method::Delete,
            "CONNECT" => Method::Connect,
            "OPTIONS" => Method::Options,
            "TRACE" => Method::Trace,
            "PATCH" => Method::Patch,
            other => Method::Other(other.to_owned()),
        }
    }

    fn path_with_query(&self) -> Option<String> {
        Some(self.path_with_query.clone())
    }

    fn scheme(&self) -> Option<Scheme> {
        Some(if self.scheme == "https" { Scheme::Https } else { Scheme::Http })
    }

    fn authority(&self) -> Option<String> {
        Some(self.authority.clone())
    }

    fn headers(&self) -> Headers {
        fields::fixed(&self.headers)
    }

    fn consume(&self) -> Result<types::IncomingBody, ()> {
        consumed(&self.body)
    }
}

impl GuestResponseOutparam for Outparam {
    fn set(param: types::ResponseOutparam, response: Result<types::OutgoingResponse, ErrorCode>) {
        let answered = response.ok().map(|response| {
            let Answering { status, headers, sink } = response.into_inner::<Answering>();
            Answered { status: status.get(), headers, sink: sink.into_inner() }
        });
        run::set(param.into_inner::<Self>().run, answered);
    }
}

impl GuestOutgoingResponse for Answering {
    fn new(headers: Headers) -> Self {
        let headers = fields::taken(headers);
        Self { status: Cell::new(StatusCode::OK), headers, sink: RefCell::new(None) }
    }

    fn status_code(&self) -> u16 {
        self.status.get().as_u16()
    }

    fn set_status_code(&self, status_code: u16) -> Result<(), ()> {
        self.status.set(StatusCode::from_u16(status_code).map_err(|_| ())?);
        Ok(())
    }

    fn headers(&self) -> Headers {
        fields::fixed(&self.headers)
    }

    fn body(&self) -> Result<types::OutgoingBody, ()> {
        written(&self.sink, &self.headers, run::response_body_bytes(), false)
    }
}
