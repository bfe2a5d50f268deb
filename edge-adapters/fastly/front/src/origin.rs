//! An app at an origin: what it is asked, and how its answer goes out.

use crate::bindings::tollgate::gate::admission::Permit;
use crate::bindings::tollgate::gate::types::Outcome;
use crate::line::{Exchange, PLATFORM, Taken};
use crate::platform::{self, Answer};
use http::request::Parts;
use http::{HeaderMap, Method, Response};
use tollgate_fastly_platform::{
    Body, Failure, begin, close, empty, length, read, read_whole, request, respond, write,
};
use tollgate_request::{Blame, End, content_length, has_no_body, response_headers};

/// An answer that is announced as no longer than this is read before its head goes out: so a failure in it is still told
/// as one. Every other streams.
const WHOLE_BYTES: usize = 16 << 10;

/// What came from the origin is no answer.
const BAD: End = End::Failed("bad-response", Blame::App);

impl Exchange {
    /// Asks the origin. What goes wrong before the client has a head is a problem document.
    pub(crate) fn ask(&self, origin: &str, permit: &Permit, parts: Parts, body: Body) -> Result<(), Failure> {
        let mut taken = Taken::default();
        let method = parts.method.clone();
        let answer = self.answer(origin, permit, &parts, body, &mut taken);
        let end = match answer {
            Ok(answer) => self.deliver(answer, &method, permit, &mut taken)?,
            Err(end) => Some(end),
        };
        end.map_or(Ok(()), |end| self.fail(end, permit, &taken))
    }

    fn answer(
        &self,
        origin: &str,
        permit: &Permit,
        parts: &Parts,
        body: Body,
        taken: &mut Taken,
    ) -> Result<Answer, End> {
        let body = self.bounded(&parts.headers, body, taken)?;
        let request = request(parts).map_err(|_| PLATFORM)?;
        let mut answer = platform::send(request, body, origin)?;
        response_headers(answer.status, &mut answer.headers, &permit.headers, &self.facts.request_id)
            .map_err(|_| BAD)?;
        Ok(answer)
    }

    /// The request's body, which is no longer than it may be. One of announced length is handed on as it is: the
    /// platform sees to its length. Any other is read to its end first.
    fn bounded(&self, headers: &HeaderMap, body: Body, taken: &mut Taken) -> Result<Body, End> {
        if let Some(bytes) = content_length(headers).or_else(|| length(&body)) {
            taken.bytes_in = bytes;
            return Ok(body);
        }
        let whole = empty().map_err(|_| PLATFORM)?;
        loop {
            let chunk = read(&body).map_err(|_| PLATFORM)?;
            if chunk.is_empty() {
                return Ok(whole);
            }
            taken.bytes_in += chunk.len() as u64;
            if taken.bytes_in > self.entry.route.request_body_bytes {
                return Err(End::BodyTooLarge);
            }
            write(&whole, &chunk).map_err(|_| PLATFORM)?;
        }
    }

    /// Sends the origin's answer, and settles before its end goes out. Gives back what to say instead, if nothing was
    /// sent.
    fn deliver(
        &self,
        answer: Answer,
        method: &Method,
        permit: &Permit,
        taken: &mut Taken,
    ) -> Result<Option<End>, Failure> {
        let Answer { status, headers, body } = answer;
        let limit = self.entry.route.response_body_bytes;
        let settle = |outcome, taken: &Taken| self.settle(self.ending(outcome, permit, taken));
        let answered = Outcome::Answered(status.as_u16());
        let mut head = Response::new(());
        (*head.status_mut(), *head.headers_mut()) = (status, headers);
        let headers = head.headers();
        if *method == Method::HEAD || has_no_body(&head) {
            settle(answered, taken)?;
            return respond(status, headers, &[]).map(|()| None);
        }
        let announced = content_length(headers);
        if announced.is_some_and(|bytes| bytes > limit) {
            return Ok(Some(End::Failed("response-too-large", Blame::App)));
        }
        if announced.is_some_and(|bytes| bytes <= WHOLE_BYTES as u64) {
            let Ok(whole) = read_whole(&body, WHOLE_BYTES) else { return Ok(Some(BAD)) };
            taken.bytes_out = whole.len() as u64;
            if announced != Some(taken.bytes_out) {
                return Ok(Some(BAD));
            }
            settle(answered, taken)?;
            return respond(status, headers, &whole).map(|()| None);
        }
        let sent = begin(status, headers)?;
        let streamed = stream(&body, &sent, limit, announced, &mut taken.bytes_out);
        let whole = streamed.is_ok();
        settle(streamed.map_or_else(|outcome| outcome, |()| answered), taken)?;
        // A body that is dropped and not closed never looks whole.
        if whole { close(sent).map(|()| None) } else { Ok(None) }
    }
}

/// Copies a body to its end, and counts it. On an error what has become of it.
fn stream(
    from: &Body,
    to: &Body,
    limit: u64,
    announced: Option<u64>,
    bytes: &mut u64,
) -> Result<(), Outcome> {
    let bad = || Outcome::Failed(BAD.code().to_owned());
    loop {
        let chunk = read(from).map_err(|_| bad())?;
        if chunk.is_empty() {
            return if announced.is_none_or(|announced| announced == *bytes) { Ok(()) } else { Err(bad()) };
        }
        *bytes += chunk.len() as u64;
        if *bytes > limit {
            return Err(Outcome::Failed("response-too-large".to_owned()));
        }
        write(to, &chunk).map_err(|_| Outcome::Abandoned)?;
    }
}
