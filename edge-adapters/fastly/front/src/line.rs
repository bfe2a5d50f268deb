//! The line that every request of a sandbox goes, top to bottom. The server's is in `host/runtime/src/line.rs`.
//!
//! A part or an app that traps takes the whole sandbox with it, and the platform answers 500: nobody gets past the gate,
//! and what was let in has the note that was made of it before. Whatever fails without a trap is told as the server
//! tells it.

use crate::bindings::tollgate::gate::admission::{self, Ending, Permit};
use crate::bindings::tollgate::gate::types::{Charge, Diagnostic, Facts, Outcome, Usage};
use crate::facts::Arrival;
use crate::house::{Entry, House};
use crate::platform;
use crate::record;
use crate::refusal::{Refused, few};
use crate::settings::{Place, Tenant};
use http::request::Parts;
use std::collections::BTreeMap;
use std::rc::Rc;
use tollgate_fastly_platform::bindings::fastly::compute::http_req::Request;
use tollgate_fastly_platform::{Body, Failure, Log, id, length, now, request_head, respond};
use tollgate_request::{Blame, End, announce, clean_request_headers, content_length, request_headers};

/// The platform failed us.
pub(crate) const PLATFORM: End = End::Failed("host-fault", Blame::Host);

/// Requests that one sandbox answers before it ends.
const REQUESTS_MOST: u32 = 100;

/// Answers the request that a sandbox was made for, and those that come after it.
///
/// # Errors
/// What went wrong, which the operator has been told already.
pub fn answer(settings: &[u8], request: Request, body: Body) -> Result<(), Failure> {
    let house = House::read(settings).map_err(|error| Failure::new(error.to_string()));
    let answered = house.and_then(|house| {
        let mut front = Front { house, configured: None, answered: 0, runs: BTreeMap::new(), spent: false };
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
    /// How many requests each app has answered, by its number.
    runs: BTreeMap<u32, u32>,
    /// The gate or an app has failed, or an app's instance has answered as many requests as it may.
    spent: bool,
}

impl Front {
    /// Whether this sandbox may take another request. One gate serves one tenant, as on a server; an app's instance as
    /// many requests as its mode says; and what has failed is dropped.
    fn takes_more(&self) -> bool {
        self.house.tenants == 1 && self.answered < REQUESTS_MOST && !self.spent
    }

    /// Answers one request. On an error the platform did not do what was asked of it; if the response had not begun, it
    /// answers for itself, and nothing got past the gate.
    fn serve(&mut self, request: &Request, body: Body) -> Result<(), Failure> {
        self.answered += 1;
        let mut parts = request_head(request)?;
        let ids = [id()?, id()?];
        let received = now();

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
        let (Ok(log), Ok(notes)) = (Log::open(&self.house.log), Log::open(&self.house.notes)) else {
            return own(End::BookClosed, &arrival.request_id, &[]);
        };

        // Admit, run, respond and settle.
        let output = self.house.output.clone();
        let exchange = Exchange { entry, facts, log, notes, output, started: now() };
        match self.admit(&exchange, &parts, &body) {
            Ok(permit) => {
                self.count(&exchange.entry);
                exchange.note(&permit)?;
                self.spent |= exchange.run(&permit, parts, body, &arrival)?;
                Ok(())
            }
            Err(refused) => {
                self.spent |= refused.end == End::GateFailed;
                exchange.refuse(*refused)
            }
        }
    }

    /// Counts a run of a route's app.
    fn count(&mut self, entry: &Entry) {
        if let Place::Component(component) = &entry.route.place {
            let runs = self.runs.entry(component.number).or_default();
            *runs += 1;
            self.spent |= *runs >= component.reuse;
        }
    }

    /// The gate's leave.
    fn admit(&mut self, exchange: &Exchange, parts: &Parts, body: &Body) -> Result<Permit, Box<Refused>> {
        let (tenant, route) = (&exchange.entry.tenant, &exchange.entry.route);
        let limit = route.request_body_bytes;
        let announced = content_length(&parts.headers).or_else(|| length(body));
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
pub(crate) fn own(end: End, request_id: &str, added: &[(String, String)]) -> Result<(), Failure> {
    let mut response = end.response(request_id);
    announce(response.headers_mut(), added);
    respond(response.status(), response.headers(), response.body())
}

/// One request from admission to its record.
pub(crate) struct Exchange {
    pub(crate) entry: Entry,
    pub(crate) facts: Facts,
    log: Log,
    notes: Log,
    /// The log endpoint for the lines of apps.
    pub(crate) output: Rc<str>,
    /// When the gate was asked.
    started: u64,
}

/// What an admitted request took, as far as it went.
#[derive(Default)]
pub(crate) struct Taken {
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
    /// What a run took of further limits, and the limits.
    pub(crate) limits: Vec<(String, u64, u64)>,
}

impl Exchange {
    fn refuse(&self, refused: Refused) -> Result<(), Failure> {
        let Refused { end, outcome, policies, headers, metadata, limits, charges } = refused;
        self.settle(Ending { metadata, limits, charges, ..ending(outcome, policies) })?;
        own(end, &self.facts.request_id, &headers)
    }

    /// Has the app answer. Whether its instance has failed, and so the sandbox is not used again.
    fn run(&self, permit: &Permit, mut parts: Parts, body: Body, arrival: &Arrival) -> Result<bool, Failure> {
        let Facts { client_address, scheme, request_id, .. } = &self.facts;
        request_headers(&mut parts.headers, client_address, scheme, request_id);
        parts.uri = arrival.uri.clone();
        match &self.entry.route.place {
            Place::Origin(backend) => self.ask(backend, permit, parts, body).map(|()| false),
            Place::Component(component) => self.call(component, permit, parts, body),
        }
    }

    /// Ends a request that nobody answered: the record, then the problem document.
    pub(crate) fn fail(&self, end: End, permit: &Permit, taken: &Taken) -> Result<(), Failure> {
        let outcome = match end {
            End::BodyTooLarge => Outcome::Refused(end.code().to_owned()),
            end => Outcome::Failed(end.code().to_owned()),
        };
        self.settle(self.ending(outcome, permit, taken))?;
        own(end, &self.facts.request_id, &permit.headers)
    }

    /// What has become of an admitted request.
    pub(crate) fn ending(&self, outcome: Outcome, permit: &Permit, taken: &Taken) -> Ending {
        let route = &self.entry.route;
        let mut limits = vec![
            ("request-body-bytes".to_owned(), taken.bytes_in, route.request_body_bytes),
            ("response-body-bytes".to_owned(), taken.bytes_out, route.response_body_bytes),
        ];
        limits.extend(taken.limits.iter().cloned());
        let mut metadata = vec![("component".to_owned(), route.component.clone())];
        metadata.extend(match &route.place {
            Place::Origin(backend) => {
                vec![("mode".to_owned(), "origin".to_owned()), ("origin".to_owned(), backend.clone())]
            }
            Place::Component(component) => {
                let mode = if component.reuse == 1 { "fresh" } else { "serial" };
                vec![("mode".to_owned(), mode.to_owned())]
            }
        });
        let wall = now().saturating_sub(self.started);
        Ending {
            usage: Usage { wall, bytes_in: taken.bytes_in, bytes_out: taken.bytes_out, ..NOTHING },
            limits,
            metadata,
            charges: permit.charges.iter().map(charge).collect(),
            ..ending(outcome, permit.policies.clone())
        }
    }

    /// Notes what was let in, before any of it runs: where the sandbox is lost on the way, this is the record.
    fn note(&self, permit: &Permit) -> Result<(), Failure> {
        let interrupted = self.ending(Outcome::Interrupted, permit, &Taken::default());
        self.notes.write(&self.record(&Ending { charges: Vec::new(), ..interrupted })?);
        Ok(())
    }

    /// Has the record made, and hands it to the log.
    pub(crate) fn settle(&self, ending: Ending) -> Result<(), Failure> {
        self.log.write(&self.record(&ending)?);
        Ok(())
    }

    fn record(&self, ending: &Ending) -> Result<Vec<u8>, Failure> {
        let entry = admission::settle(&self.facts, ending);
        record::line(entry).map_err(|error| Failure::new(error.to_string()))
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
        now: now(),
    }
}

fn charge(charge: &Charge) -> Charge {
    Charge { bucket: charge.bucket.clone(), key: charge.key.clone(), cost: charge.cost }
}

/// One line for one diagnostic.
fn line(diagnostic: &Diagnostic) -> String {
    match &diagnostic.place {
        Some(place) => format!("`{place}`: {}", diagnostic.message),
        None => diagnostic.message.clone(),
    }
}
