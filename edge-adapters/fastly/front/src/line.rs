//! The line that every request of a sandbox goes, top to bottom. The server's is in `host/runtime/src/line.rs`.
//!
//! A part that traps takes the whole sandbox with it, and the platform answers 500: nobody gets past the gate, and
//! there is no record. Whatever fails without a trap is told as the server tells it.

use crate::bindings::fastly::compute::http_body::Body;
use crate::bindings::fastly::compute::http_req::Request;
use crate::bindings::tollgate::gate::admission::{self, Ending, Permit};
use crate::bindings::tollgate::gate::types::{Charge, Diagnostic, Facts, Outcome, Usage};
use crate::facts::Arrival;
use crate::house::{Entry, House};
use crate::platform::{self, Answer, Failure, Log};
use crate::record;
use crate::refusal::{Refused, few};
use crate::settings::Tenant;
use http::request::Parts;
use http::{HeaderMap, Method, Response};
use std::rc::Rc;
use tollgate_request::{
    Blame, End, announce, clean_request_headers, content_length, has_no_body, request_headers,
    response_headers,
};

/// The platform failed us.
const PLATFORM: End = End::Failed("host-fault", Blame::Host);

/// What an origin gives without a break, up to so many bytes, is read before the head goes out: so a failure in a short
/// response is still told as one. As soon as there is nothing to read, what there is goes out and the rest streams.
const WHOLE_BYTES: usize = 16 << 10;

/// Requests that one sandbox answers before it ends.
const REQUESTS_MOST: u32 = 100;

/// Answers the request that a sandbox was made for, and those that come after it.
///
/// # Errors
/// What went wrong, which the operator has been told already.
pub fn answer(settings: &[u8], request: Request, body: Body) -> Result<(), Failure> {
    let house = House::read(settings).map_err(|error| Failure(error.to_string()));
    let answered = house.and_then(|house| {
        let mut front = Front { house, configured: None, answered: 0, failed: false };
        let mut next = Some((request, body));
        while let Some((request, body)) = next {
            front.serve(&request, body)?;
            next = if front.takes_more() { platform::next_request() } else { None };
        }
        Ok(())
    });
    answered.inspect_err(|failure| platform::complain(&failure.to_string()))
}

/// A sandbox that answers requests, one after the other.
struct Front {
    house: House,
    /// The tenant that the gate is configured for.
    configured: Option<Rc<Tenant>>,
    answered: u32,
    /// The gate has failed, so it is not asked again.
    failed: bool,
}

impl Front {
    /// Whether this sandbox may take another request. One gate serves one tenant, as on a server; and what has failed
    /// is dropped.
    fn takes_more(&self) -> bool {
        self.house.tenants == 1 && self.answered < REQUESTS_MOST && !self.failed
    }

    /// Answers one request. On an error the platform did not do what was asked of it; if the response had not begun, it
    /// answers for itself, and nothing got past the gate.
    fn serve(&mut self, request: &Request, body: Body) -> Result<(), Failure> {
        self.answered += 1;
        let mut parts = platform::head(request)?;
        let ids = [platform::id()?, platform::id()?];
        let received = platform::now();

        // Facts.
        let arrival = match Arrival::of(&parts, platform::peer(request)?, ids, received) {
            Ok(arrival) => arrival,
            Err(unreadable) => return own(End::Unreadable(unreadable.0), "", &[]),
        };
        clean_request_headers(&mut parts.headers);

        // Route.
        let found = self.house.table.find(&arrival.host, &arrival.path, &parts.method).cloned();
        let Some(entry) = found else {
            return own(End::NoRoute, &arrival.request_id, &[]);
        };
        let facts = match arrival.facts(&parts, &entry) {
            Ok(facts) => facts,
            Err(unreadable) => return own(End::Unreadable(unreadable.0), &arrival.request_id, &[]),
        };
        let Ok(log) = Log::open(&self.house.log) else {
            return own(End::BookClosed, &arrival.request_id, &[]);
        };

        // Admit, ask the origin, respond and settle.
        let exchange = Exchange { entry, facts, log };
        match self.admit(&exchange, &parts, &body) {
            Ok(permit) => exchange.run(permit, parts, body, &arrival),
            Err(refused) => {
                self.failed = refused.end == End::GateFailed;
                exchange.refuse(*refused)
            }
        }
    }

    /// The gate's leave.
    fn admit(&mut self, exchange: &Exchange, parts: &Parts, body: &Body) -> Result<Permit, Box<Refused>> {
        let (tenant, route) = (&exchange.entry.tenant, &exchange.entry.route);
        let limit = route.request_body_bytes;
        let announced = content_length(&parts.headers).or_else(|| platform::length(body));
        if let Some(bytes) = announced.filter(|bytes| *bytes > limit) {
            let limits = vec![("request-body-bytes".to_owned(), bytes, limit)];
            return Err(Box::new(Refused { limits, ..End::BodyTooLarge.into() }));
        }
        if !self.configured.as_ref().is_some_and(|configured| Rc::ptr_eq(configured, tenant)) {
            self.configured = None;
            admission::configure(&self.house.gate(tenant))
                .map_err(|wrong| wrong.iter().map(line).collect::<Vec<_>>().join("; "))
                .map_err(|reason| Box::new(Refused::failed(reason)))?;
            self.configured = Some(tenant.clone());
        }
        let permit = admission::admit(&exchange.facts).map_err(|refusal| Box::new(refusal.into()))?;
        Ok(Permit { policies: few(permit.policies), ..permit })
    }
}

/// A problem document of our own.
fn own(end: End, request_id: &str, added: &[(String, String)]) -> Result<(), Failure> {
    let mut response = end.response(request_id);
    announce(response.headers_mut(), added);
    platform::respond(response.status(), response.headers(), response.body())
}

/// One request from admission to its record.
struct Exchange {
    entry: Entry,
    facts: Facts,
    log: Log,
}

/// What an admitted request took, as far as it went.
#[derive(Default)]
struct Taken {
    bytes_in: u64,
    bytes_out: u64,
}

impl Exchange {
    fn refuse(&self, refused: Refused) -> Result<(), Failure> {
        let Refused { end, outcome, policies, headers, metadata, limits, charges } = refused;
        self.settle(Ending { metadata, limits, charges, ..ending(outcome, policies) })?;
        own(end, &self.facts.request_id, &headers)
    }

    /// Asks the origin. What goes wrong before the client has a head is a problem document.
    fn run(&self, permit: Permit, parts: Parts, body: Body, arrival: &Arrival) -> Result<(), Failure> {
        let started = platform::now();
        let mut taken = Taken::default();
        let method = parts.method.clone();
        let asked = self.ask(parts, body, arrival, &permit, &mut taken);
        let outcome = match asked {
            Ok(answer) => match self.deliver(answer, &method, &permit, &mut taken, started)? {
                None => return Ok(()),
                Some(end) => end,
            },
            Err(end) => end,
        };
        let ended = match outcome {
            End::BodyTooLarge => Outcome::Refused(outcome.code().to_owned()),
            end => Outcome::Failed(end.code().to_owned()),
        };
        self.settle(self.ending(ended, &permit, &taken, started))?;
        own(outcome, &self.facts.request_id, &permit.headers)
    }

    fn ask(
        &self,
        mut parts: Parts,
        body: Body,
        arrival: &Arrival,
        permit: &Permit,
        taken: &mut Taken,
    ) -> Result<Answer, End> {
        let Facts { client_address, scheme, request_id, .. } = &self.facts;
        request_headers(&mut parts.headers, client_address, scheme, request_id);
        parts.uri = arrival.uri.clone();
        let body = self.bounded(&parts.headers, body, taken)?;
        let request = platform::request(&parts).map_err(|_| PLATFORM)?;
        let mut answer = platform::send(request, body, &self.entry.route.origin)?;
        response_headers(answer.status, &mut answer.headers, &permit.headers, request_id)
            .map_err(|_| End::Failed("bad-response", Blame::App))?;
        Ok(answer)
    }

    /// The request's body, which is no longer than it may be. One of announced length is handed on as it is: the
    /// platform sees to its length. Any other is read to its end first.
    fn bounded(&self, headers: &HeaderMap, body: Body, taken: &mut Taken) -> Result<Body, End> {
        if let Some(bytes) = content_length(headers).or_else(|| platform::length(&body)) {
            taken.bytes_in = bytes;
            return Ok(body);
        }
        let whole = platform::empty().map_err(|_| PLATFORM)?;
        loop {
            let chunk = platform::read(&body).map_err(|_| PLATFORM)?;
            if chunk.is_empty() {
                return Ok(whole);
            }
            taken.bytes_in += chunk.len() as u64;
            if taken.bytes_in > self.entry.route.request_body_bytes {
                return Err(End::BodyTooLarge);
            }
            platform::write(&whole, &chunk).map_err(|_| PLATFORM)?;
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
        started: u64,
    ) -> Result<Option<End>, Failure> {
        let Answer { status, headers, body } = answer;
        let limit = self.entry.route.response_body_bytes;
        let settle = |outcome, taken: &Taken| self.settle(self.ending(outcome, permit, taken, started));
        let mut head = Response::new(());
        (*head.status_mut(), *head.headers_mut()) = (status, headers);
        let headers = head.headers();
        let answered = Outcome::Answered(status.as_u16());
        if *method == Method::HEAD || has_no_body(&head) {
            settle(answered, taken)?;
            return platform::respond(status, headers, &[]).map(|()| None);
        }
        if content_length(headers).is_some_and(|bytes| bytes > limit) {
            return Ok(Some(End::Failed("response-too-large", Blame::App)));
        }
        let mut first = Vec::new();
        let mut ended = false;
        while !ended && first.len() <= WHOLE_BYTES && platform::is_ready(&body) {
            let Ok(chunk) = platform::read(&body) else {
                return Ok(Some(End::Failed("bad-response", Blame::App)));
            };
            first.extend_from_slice(&chunk);
            ended = chunk.is_empty();
        }
        taken.bytes_out = first.len() as u64;
        if ended {
            settle(answered, taken)?;
            return platform::respond(status, headers, &first).map(|()| None);
        }
        let sent = platform::begin(status, headers)?;
        let streamed = stream(first, &body, &sent, limit, &mut taken.bytes_out);
        let outcome = streamed.map_or_else(|outcome| outcome, |()| answered);
        let whole = matches!(outcome, Outcome::Answered(_));
        settle(outcome, taken)?;
        // A body that is dropped and not closed never looks whole.
        if whole { platform::close(sent).map(|()| None) } else { Ok(None) }
    }

    /// What has become of an admitted request.
    fn ending(&self, outcome: Outcome, permit: &Permit, taken: &Taken, started: u64) -> Ending {
        let route = &self.entry.route;
        let wall = platform::now().saturating_sub(started);
        Ending {
            usage: Usage { wall, bytes_in: taken.bytes_in, bytes_out: taken.bytes_out, ..NOTHING },
            limits: vec![
                ("request-body-bytes".to_owned(), taken.bytes_in, route.request_body_bytes),
                ("response-body-bytes".to_owned(), taken.bytes_out, route.response_body_bytes),
            ],
            metadata: vec![
                ("component".to_owned(), route.component.clone()),
                ("mode".to_owned(), "origin".to_owned()),
                ("origin".to_owned(), route.origin.clone()),
            ],
            charges: permit.charges.iter().map(charge).collect(),
            ..ending(outcome, permit.policies.clone())
        }
    }

    /// Has the record made, and hands it to the log.
    fn settle(&self, ending: Ending) -> Result<(), Failure> {
        let entry = admission::settle(&self.facts, &ending);
        let record = record::line(entry).map_err(|error| Failure(error.to_string()))?;
        self.log.write(&record);
        Ok(())
    }
}

/// What a request took that never ran.
const NOTHING: Usage =
    Usage { gas: 0, fuel: 0, memory_bytes: 0, cpu: 0, wall: 0, host_calls: 0, bytes_in: 0, bytes_out: 0 };

fn ending(outcome: Outcome, policies: Vec<String>) -> Ending {
    Ending {
        outcome,
        usage: NOTHING,
        limits: Vec::new(),
        metadata: Vec::new(),
        policies,
        charges: Vec::new(),
        now: platform::now(),
    }
}

fn charge(charge: &Charge) -> Charge {
    Charge { bucket: charge.bucket.clone(), key: charge.key.clone(), cost: charge.cost }
}

/// Copies a body to its end, and counts it. On an error what has become of it.
fn stream(first: Vec<u8>, from: &Body, to: &Body, limit: u64, bytes: &mut u64) -> Result<(), Outcome> {
    let mut chunk = first;
    loop {
        if *bytes > limit {
            return Err(Outcome::Failed("response-too-large".to_owned()));
        }
        platform::write(to, &chunk).map_err(|_| Outcome::Abandoned)?;
        chunk = platform::read(from).map_err(|_| Outcome::Failed("bad-response".to_owned()))?;
        if chunk.is_empty() {
            return Ok(());
        }
        *bytes += chunk.len() as u64;
    }
}

/// One line for one diagnostic.
fn line(diagnostic: &Diagnostic) -> String {
    match &diagnostic.place {
        Some(place) => format!("`{place}`: {}", diagnostic.message),
        None => diagnostic.message.clone(),
    }
}
