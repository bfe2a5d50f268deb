//! Every status code and every text that leaves the host by itself: problem documents (RFC 9457).
//!
//! A document has a fixed type, title and status, and the request's id. What happened inside stands in the log under
//! that id, and nowhere else.

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Response, StatusCode};

/// Whose fault it is that a run did not answer: it decides the status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blame {
    /// The app's: 502.
    App,
    /// The app's, which took too long: 504.
    Slow,
    /// Another request's: this one may be sent again. 503.
    Other,
    /// The host's own: 500.
    Host,
}

/// Why the host, and not an app, answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The request can't be understood; the text says why.
    Unreadable(&'static str),
    /// No route.
    NoRoute,
    /// The policy denied it.
    Denied,
    /// A bucket was empty.
    Limited,
    /// The tenant's gas of this hour is spent; there is more in so many seconds.
    GasSpent(u64),
    /// The announced body is larger than it may be.
    BodyTooLarge,
    /// No place to run, and none to wait.
    Saturated,
    /// The gate could not decide.
    GateFailed,
    /// The app was refused when it was loaded.
    AppRefused,
    /// The book takes no record, so nothing may run.
    BookClosed,
    /// The run ended badly before it answered: the fault's code, and whose it is.
    Failed(&'static str, Blame),
}

impl End {
    fn parts(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::Unreadable(why) => (StatusCode::BAD_REQUEST, "bad-request", why),
            Self::NoRoute => (StatusCode::NOT_FOUND, "no-route", "there is nothing here"),
            Self::Denied => (StatusCode::FORBIDDEN, "denied", "the policy denies this request"),
            Self::Limited => (StatusCode::TOO_MANY_REQUESTS, "rate-limited", "too many requests"),
            Self::GasSpent(_) => {
                (StatusCode::TOO_MANY_REQUESTS, "gas-spent", "the gas of this hour is spent")
            }
            Self::BodyTooLarge => {
                (StatusCode::PAYLOAD_TOO_LARGE, "body-too-large", "the request body is too large")
            }
            Self::Saturated => {
                (StatusCode::SERVICE_UNAVAILABLE, "saturated", "too many requests run at this time")
            }
            Self::GateFailed => (StatusCode::SERVICE_UNAVAILABLE, "gate-failed", "no decision could be made"),
            Self::AppRefused => (StatusCode::SERVICE_UNAVAILABLE, "app-refused", "the app is not available"),
            Self::BookClosed => {
                (StatusCode::SERVICE_UNAVAILABLE, "audit-unavailable", "no record could be made")
            }
            Self::Failed(code, blame) => {
                let status = match blame {
                    Blame::App => StatusCode::BAD_GATEWAY,
                    Blame::Slow => StatusCode::GATEWAY_TIMEOUT,
                    Blame::Other => StatusCode::SERVICE_UNAVAILABLE,
                    Blame::Host => StatusCode::INTERNAL_SERVER_ERROR,
                };
                (status, code, "the app failed to answer")
            }
        }
    }

    /// The code in problem documents, records and metrics.
    pub fn code(self) -> &'static str {
        self.parts().1
    }

    /// The response.
    pub fn response(self, request_id: &str) -> Response<Bytes> {
        let (status, code, title) = self.parts();
        // The code, title and id are all ours and need no escaping.
        let body = format!(
            "{{\"type\":\"https://tollgate.dev/problems/{code}\",\"title\":\"{title}\",\"status\":{},\"instance\":\"urn:tollgate:request:{request_id}\"}}\n",
            status.as_u16()
        );
        let mut response = Response::new(Bytes::from(body));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        match self {
            Self::GasSpent(seconds) => {
                headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
            }
            _ if status == StatusCode::SERVICE_UNAVAILABLE => {
                headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
            }
            _ => {}
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whose_fault_it_is_decides_the_status() {
        for (end, status) in [
            (End::Failed("trap", Blame::App), 502),
            (End::Failed("deadline", Blame::Slow), 504),
            (End::Failed("host-fault", Blame::Host), 500),
            (End::Failed("instance-lost", Blame::Other), 503),
            (End::Denied, 403),
            (End::Limited, 429),
            (End::GasSpent(60), 429),
            (End::Saturated, 503),
        ] {
            assert_eq!(end.response("").status().as_u16(), status, "{end:?}");
        }
    }

    #[test]
    fn who_is_to_come_back_is_told_when() {
        let after = |end: End| end.response("").headers().get(RETRY_AFTER).cloned();
        assert_eq!(after(End::GasSpent(1_234)).unwrap(), "1234");
        assert_eq!(after(End::Saturated).unwrap(), "1");
        assert_eq!(after(End::Denied), None);
    }

    #[test]
    fn a_problem_document_says_what_it_may_and_no_more() {
        let response = End::Failed("trap", Blame::App).response("00ff");
        assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
        assert_eq!(
            response.body(),
            "{\"type\":\"https://tollgate.dev/problems/trap\",\"title\":\"the app failed to answer\",\"status\":502,\"instance\":\"urn:tollgate:request:00ff\"}\n"
        );
    }
}
