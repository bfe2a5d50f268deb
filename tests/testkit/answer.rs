//! What came back, and what may be expected of it.

use crate::log::Record;
use http::{HeaderMap, StatusCode};

/// A response's body as a client sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// It ended as it should.
    Whole(Vec<u8>),
    /// The connection or stream broke after these bytes.
    Cut(Vec<u8>),
}

/// A response, and the record of the request.
pub struct Answer {
    /// None when the connection broke before the head.
    pub(crate) status: Option<StatusCode>,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Body,
    pub(crate) records: Vec<Record>,
    /// Held so that a host made for one request lives as long as its answer.
    pub(crate) _host: Option<Box<dyn std::any::Any + Send>>,
}

impl Answer {
    #[track_caller]
    pub fn expect_status(self, status: u16) -> Self {
        assert_eq!(self.status(), status, "body: {}", self.text());
        self
    }

    /// A problem document of this status and code.
    #[track_caller]
    pub fn expect_problem(self, status: u16, code: &str) -> Self {
        let this = self.expect_status(status).expect_header("content-type", "application/problem+json");
        let document: serde_json::Value = serde_json::from_str(&this.text()).expect("a problem document");
        assert_eq!(document["type"], format!("https://tollgate.dev/problems/{code}"));
        assert_eq!(document["status"], status);
        this
    }

    #[track_caller]
    pub fn expect_header(self, name: &str, value: &str) -> Self {
        assert_eq!(self.header(name), Some(value), "{:?}", self.headers);
        self
    }

    #[track_caller]
    pub fn expect_body(self, text: &str) -> Self {
        assert_eq!(self.body, Body::Whole(text.into()), "{}", self.text());
        self
    }

    #[track_caller]
    pub fn expect_in_body(self, text: &str) -> Self {
        assert!(matches!(self.body, Body::Whole(_)), "the body is cut");
        assert!(self.text().contains(text), "no `{text}` in: {}", self.text());
        self
    }

    /// The body must visibly be not whole.
    #[track_caller]
    pub fn expect_cut(self) -> Self {
        assert!(matches!(self.body, Body::Cut(_)), "the body looks whole: {:?}", self.text());
        self
    }

    /// The one record of this request has this outcome: `answered:200`, `failed:out-of-fuel`, `denied`.
    #[track_caller]
    pub fn expect_audit(self, outcome: &str) -> Self {
        assert_eq!(self.record().outcome(), outcome, "{}", self.record().0);
        self
    }

    /// The one record of this request.
    #[track_caller]
    pub fn record(&self) -> &Record {
        let [record] = self.records.as_slice() else {
            panic!("{} records of one request", self.records.len())
        };
        record
    }

    /// Every record of this request: one, or none where there was no tenant.
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// A header that stands once.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut all = self.headers.get_all(name).iter();
        let first = all.next()?;
        assert!(all.next().is_none(), "`{name}` stands more than once");
        first.to_str().ok()
    }

    /// The request's id: in a header of what the app answers, in the body of what the host says itself.
    pub fn request_id(&self) -> String {
        self.request_id_or_none().expect("a request's id")
    }

    /// The same; none where the host says none.
    pub fn request_id_or_none(&self) -> Option<String> {
        let problem = || {
            let document: serde_json::Value = serde_json::from_str(&self.text()).ok()?;
            document["instance"].as_str()?.strip_prefix("urn:tollgate:request:").map(str::to_owned)
        };
        self.header("tollgate-request-id").map(str::to_owned).or_else(problem)
    }

    pub fn status(&self) -> u16 {
        self.status.expect("a response's head").as_u16()
    }

    pub fn text(&self) -> String {
        let (Body::Whole(bytes) | Body::Cut(bytes)) = &self.body;
        String::from_utf8_lossy(bytes).into_owned()
    }

    pub fn body(&self) -> &Body {
        &self.body
    }

    pub fn bytes(&self) -> usize {
        let (Body::Whole(bytes) | Body::Cut(bytes)) = &self.body;
        bytes.len()
    }
}
