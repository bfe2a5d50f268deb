//! The shell: the line as a component of the world `front`.

use crate::bindings::exports::fastly::compute::http_incoming::Guest;
use crate::bindings::tollgate::fastly::settings;
use crate::line;
use tollgate_fastly_platform::Body;
use tollgate_fastly_platform::bindings::fastly::compute::http_req::Request;

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
