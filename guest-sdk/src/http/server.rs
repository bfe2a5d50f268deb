//! From the exported handler to the author's function and back.

use super::convert::{request_from_host, response_to_host};
use super::{IntoResponse, Request};
use std::future::Future;
use wasip3::http::types::{self as wasi, ErrorCode};

/// Answers HTTP requests with an async function: the component's `wasi:http/handler` (0.3). Once per component.
///
/// The function takes a [`Request`] and returns anything that is [`IntoResponse`].
///
/// ```
/// use tollgate_sdk::http::Request;
///
/// async fn handle(_: Request) -> &'static str {
///     "hello\n"
/// }
///
/// tollgate_sdk::serve!(handle);
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! serve {
    ($handler:path) => {
        const _: () = {
            use $crate::__private::wasip3;

            struct Component;

            impl wasip3::exports::http::handler::Guest for Component {
                async fn handle(
                    request: wasip3::http::types::Request,
                ) -> ::std::result::Result<wasip3::http::types::Response, wasip3::http::types::ErrorCode>
                {
                    $crate::__private::serve($handler, request).await
                }
            }

    wasip3::http::service::export!(Component with_types_in wasip3);
        };
    };
}

/// What [`serve!`](crate::serve) calls.
pub async fn serve<H, F>(handler: H, request: wasi::Request) -> Result<wasi::Response, ErrorCode>
where
    H: FnOnce(Request) -> F,
    F: Future,
    F::Output: IntoResponse,
{
    let request = request_from_host(request)?;
    response_to_host(handler(request).await.into_response())
}
