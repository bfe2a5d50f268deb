//! `wasi:http/types`: the bodies of messages in both directions.

use crate::bindings::exports::wasi::http::types::{
    self, ErrorCode, GuestFutureTrailers, GuestIncomingBody, GuestOutgoingBody, Trailers,
};
use crate::bindings::exports::wasi::io::poll::Pollable;
use crate::bindings::exports::wasi::io::streams::{InputStream, OutputStream};
use crate::poll;
use crate::sink::{End, Sink};
use crate::source::Source;
use crate::streams::{Input, Output};
use http::HeaderMap;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use tollgate_request::content_length;

/// A body that an app may read.
pub(crate) struct Incoming(Cell<Option<Source>>);

/// A body that an app writes.
pub(crate) struct Written {
    sink: Rc<Sink>,
    /// Whether it is a request's, which is nobody's to hold back.
    of_request: bool,
    given: Cell<bool>,
}

/// Trailers: there are none.
pub(crate) struct NoTrailers {
    taken: Cell<bool>,
}

/// Hands a body out, and once only.
pub(crate) fn consumed(body: &Cell<Option<Source>>) -> Result<types::IncomingBody, ()> {
    let source = body.take().ok_or(())?;
    Ok(types::IncomingBody::new(Incoming(Cell::new(Some(source)))))
}

impl GuestIncomingBody for Incoming {
    fn stream(&self) -> Result<InputStream, ()> {
        let source = self.0.take().ok_or(())?;
        Ok(InputStream::new(Input::Body(RefCell::new(source))))
    }

    fn finish(_: types::IncomingBody) -> types::FutureTrailers {
        types::FutureTrailers::new(NoTrailers { taken: Cell::new(false) })
    }
}

impl GuestFutureTrailers for NoTrailers {
    fn subscribe(&self) -> Pollable {
        poll::ready()
    }

    fn get(&self) -> Option<Result<Result<Option<Trailers>, ErrorCode>, ()>> {
        Some(if self.taken.replace(true) { Err(()) } else { Ok(Ok(None)) })
    }
}

/// The body of a message, and once only.
pub(crate) fn written(
    place: &RefCell<Option<Rc<Sink>>>,
    headers: &HeaderMap,
    most: u64,
    of_request: bool,
) -> Result<types::OutgoingBody, ()> {
    let mut place = place.borrow_mut();
    if place.is_some() {
        return Err(());
    }
    let sink = place.insert(Sink::new(content_length(headers), most)).clone();
    Ok(types::OutgoingBody::new(Written { sink, of_request, given: Cell::new(false) }))
}

impl GuestOutgoingBody for Written {
    fn write(&self) -> Result<OutputStream, ()> {
        if self.given.replace(true) {
            Err(())
        } else {
            Ok(OutputStream::new(Output::Body(self.sink.clone())))
        }
    }

    /// Trailers are dropped: the platform sends none with a body of its own making.
    fn finish(this: types::OutgoingBody, _: Option<Trailers>) -> Result<(), ErrorCode> {
        let Self { sink, of_request, .. } = this.into_inner::<Self>();
        let bytes = Some(sink.bytes());
        match sink.finish() {
            End::Whole if of_request => sink.close().map_err(|_| ErrorCode::ConnectionTerminated),
            End::Whole => Ok(()),
            End::Gone => Err(ErrorCode::ConnectionTerminated),
            _ if of_request => Err(ErrorCode::HttpRequestBodySize(bytes)),
            _ => Err(ErrorCode::HttpResponseBodySize(bytes)),
        }
    }
}
