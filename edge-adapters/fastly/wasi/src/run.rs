//! The present run of an app: what it was given, how far its answer is, and what it took.

use crate::Wasi;
use crate::bindings::exports::tollgate::fastly::runs::{self, Ended, Fault, Head, Outcome, Terms};
use crate::lines::{Bounds, Lines, Stream};
use crate::sink::{End, Sink};
use http::{HeaderMap, Response, StatusCode};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use tollgate_fastly_platform::{Body, Failure, begin, respond};
use tollgate_request::{content_length, has_no_body, response_headers};

thread_local! {
    static RUN: RefCell<Option<Run>> = const { RefCell::new(None) };
    /// How many runs there were: an app that keeps something of an old one can do nothing to a new one with it.
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

/// Bytes of a set of fields that is made outside a run.
const HEADER_BYTES: u64 = 64 << 10;

struct Run {
    number: u64,
    terms: Terms,
    is_head: bool,
    request: Option<(Head, Body)>,
    answer: Answer,
    bytes_in: u64,
    outgoing: u64,
    lines: Lines,
}

/// How far the answer is.
enum Answer {
    /// The app has set none.
    None,
    /// What it has set can't be sent.
    Bad(Fault),
    /// A response.
    Set(Set),
}

struct Set {
    head: Response<()>,
    /// Its body; none if the app took none.
    sink: Option<Rc<Sink>>,
    /// Whether the client gets no body, whatever the app writes.
    bodiless: bool,
    /// Whether the client has the head.
    begun: bool,
}

/// What an app answers.
pub(crate) struct Answered {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) sink: Option<Rc<Sink>>,
}

/// Does something with the run, if there is one.
fn with<T>(act: impl FnOnce(&mut Run) -> T) -> Option<T> {
    RUN.with_borrow_mut(|run| run.as_mut().map(act))
}

pub(crate) fn number() -> u64 {
    COUNT.get()
}

/// The request, and once only.
pub(crate) fn take_request() -> Option<(Head, Body)> {
    with(|run| run.request.take()).flatten()
}

/// So many bytes of the request's body have been read.
///
/// # Errors
/// If they are more than there may be.
pub(crate) fn read(bytes: u64) -> Result<(), ()> {
    with(|run| {
        run.bytes_in = bytes;
        if bytes > run.terms.request_body_bytes { Err(()) } else { Ok(()) }
    })
    .unwrap_or(Err(()))
}

pub(crate) fn header_bytes() -> u64 {
    with(|run| run.terms.header_bytes).unwrap_or(HEADER_BYTES)
}

pub(crate) fn response_body_bytes() -> u64 {
    with(|run| run.terms.response_body_bytes).unwrap_or_default()
}

pub(crate) fn environment() -> Vec<(String, String)> {
    with(|run| run.terms.environment.clone()).unwrap_or_default()
}

pub(crate) fn config() -> Vec<(String, String)> {
    with(|run| run.terms.config.clone()).unwrap_or_default()
}

/// Takes what an app writes to its standard output or error. Outside a run it is dropped.
pub(crate) fn print(stream: Stream, bytes: &[u8]) {
    with(|run| run.lines.take(stream, bytes, &bounds(&run.terms)));
}

fn bounds(terms: &Terms) -> Bounds<'_> {
    Bounds {
        app: &terms.app,
        request_id: &terms.request_id,
        endpoint: &terms.output,
        lines: terms.log_lines,
        line_bytes: terms.log_line_bytes,
    }
}

/// Why a request may not go out.
pub(crate) enum Forbidden {
    /// The run has sent as many as it may.
    TooMany,
    /// The origin is not granted.
    Denied,
}

/// The service's backend for an origin that the app wants to ask.
pub(crate) fn backend(origin: &str) -> Result<String, Forbidden> {
    with(|run| {
        if run.outgoing >= run.terms.outgoing_requests {
            return Err(Forbidden::TooMany);
        }
        run.outgoing += 1;
        let granted = run.terms.origins.iter().find(|(granted, _)| granted == origin);
        granted.map(|(_, backend)| backend.clone()).ok_or(Forbidden::Denied)
    })
    .unwrap_or(Err(Forbidden::Denied))
}

/// The app's answer; none if it answered with an error code. A second one is no answer.
pub(crate) fn set(number: u64, answered: Option<Answered>) {
    with(|run| {
        if run.number == number && matches!(run.answer, Answer::None) {
            run.answer = answered.map_or(Answer::Bad(Fault::ErrorCode), |answered| run.check(answered));
        }
    });
}

/// Sends what there is of an answer that is not whole yet: before anything waits, and when more is held than need be.
pub(crate) fn flow() {
    with(|run| {
        let Answer::Set(set) = &mut run.answer else { return };
        let open = set.sink.as_ref().filter(|sink| sink.end() == End::Open);
        if let Some(sink) = open.filter(|_| !set.begun && !set.bodiless) {
            match begin(set.head.status(), set.head.headers()) {
                Ok(body) => sink.attach(body),
                Err(_) => sink.lose(),
            }
            set.begun = true;
        }
    });
}

impl Run {
    fn check(&self, answered: Answered) -> Answer {
        let Answered { status, headers, sink } = answered;
        let mut head = Response::new(());
        (*head.status_mut(), *head.headers_mut()) = (status, headers);
        let Terms { headers: added, request_id, response_body_bytes, .. } = &self.terms;
        if response_headers(status, head.headers_mut(), added, request_id).is_err() {
            return Answer::Bad(Fault::BadResponse);
        }
        let bodiless = self.is_head || has_no_body(&head);
        if !bodiless && content_length(head.headers()).is_some_and(|bytes| bytes > *response_body_bytes) {
            return Answer::Bad(Fault::ResponseTooLarge);
        }
        if let Some(sink) = sink.as_ref().filter(|_| bodiless) {
            sink.discard();
        }
        Answer::Set(Set { head, sink, bodiless, begun: false })
    }

    fn outcome(&self) -> Outcome {
        let set = match &self.answer {
            Answer::None => return Outcome::Failed(Fault::NoResponse),
            Answer::Bad(fault) => return Outcome::Failed(*fault),
            Answer::Set(set) => set,
        };
        match set.ends() {
            End::Whole => Outcome::Answered(set.head.status().as_u16()),
            End::Open => Outcome::Failed(Fault::Unfinished),
            End::Wrong => Outcome::Failed(Fault::BadResponse),
            End::TooLarge => Outcome::Failed(Fault::ResponseTooLarge),
            End::Gone => Outcome::Abandoned,
        }
    }
}

impl Set {
    /// What has become of the body.
    fn ends(&self) -> End {
        match &self.sink {
            _ if self.bodiless => End::Whole,
            Some(sink) => sink.end(),
            None if content_length(self.head.headers()).is_none() => End::Whole,
            None => End::Wrong,
        }
    }

    fn release(self) -> Result<(), Failure> {
        match &self.sink {
            _ if self.ends() != End::Whole => Ok(()),
            Some(sink) if self.begun => sink.close(),
            Some(sink) => respond(self.head.status(), self.head.headers(), &sink.take_held()),
            None => respond(self.head.status(), self.head.headers(), &[]),
        }
    }
}

impl runs::Guest for Wasi {
    fn begin(head: Head, body: Body, terms: Terms) {
        COUNT.set(number() + 1);
        let run = Run {
            number: number(),
            terms,
            is_head: head.method == "HEAD",
            request: Some((head, body)),
            answer: Answer::None,
            bytes_in: 0,
            outgoing: 0,
            lines: Lines::default(),
        };
        RUN.set(Some(run));
    }

    fn end() -> Ended {
        let ended = with(|run| {
            run.lines.end(&bounds(&run.terms));
            let (head_sent, bytes_out) = match &run.answer {
                Answer::Set(set) => (set.begun, set.sink.as_ref().map_or(0, |sink| sink.bytes())),
                Answer::None | Answer::Bad(_) => (false, 0),
            };
            Ended {
                outcome: run.outcome(),
                head_sent,
                bytes_in: run.bytes_in,
                bytes_out,
                outgoing_requests: run.outgoing,
                log_lines: run.lines.count,
            }
        });
        // The front ends what it has begun, and nothing else.
        ended.unwrap_or_else(|| std::process::abort())
    }

    fn release() -> Result<(), ()> {
        let run = RUN.take();
        match run.map(|run| run.answer) {
            Some(Answer::Set(set)) => set.release().map_err(|_| ()),
            _ => Ok(()),
        }
    }
}
