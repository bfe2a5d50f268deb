//! What stands behind each resource of `wasi:http/types`.

use crate::Wasi;
use crate::bindings::exports::wasi::http::types::{self, ErrorCode, IoErrorBorrow};
use crate::bodies::{Incoming, NoTrailers, Written};
use crate::fields::Fields;
use crate::http_in::{Answering, Outparam, Request};
use crate::http_out::{Options, Outgoing, Received};
use crate::pending::Pending;
use crate::streams::IoError;
use std::rc::Rc;

impl types::Guest for Wasi {
    type Fields = Fields;
    type IncomingRequest = Request;
    type OutgoingRequest = Outgoing;
    type RequestOptions = Options;
    type ResponseOutparam = Outparam;
    type IncomingResponse = Received;
    type IncomingBody = Incoming;
    type FutureTrailers = NoTrailers;
    type OutgoingResponse = Answering;
    type OutgoingBody = Written;
    type FutureIncomingResponse = Rc<Pending>;

    fn http_error_code(err: IoErrorBorrow<'_>) -> Option<ErrorCode> {
        Some(err.get::<IoError>().0.clone())
    }
}
