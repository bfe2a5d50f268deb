//! The shell: the line as a component of the world `front`.

use crate::bindings::exports::fastly::compute::http_incoming::Guest;
use crate::bindings::fastly::compute::http_body::Body;
use crate::bindings::fastly::compute::http_req::Request;
use crate::bindings::tollgate::fastly::settings;
use crate::line;

struct Component;

impl Guest for Component {
    /// On an error the platform answers 500, and the sandbox is gone.
    fn handle(request: Request, body: Body) -> Result<(), ()> {
        line::answer(&settings::read(), request, body).map_err(|_| ())
    }
}

#[allow(unsafe_code, reason = "generated from the WIT")]
mod exports {
    use super::Component;

    crate::bindings::export!(Component with_types_in crate::bindings);
}
