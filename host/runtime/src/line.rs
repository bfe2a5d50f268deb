//! The line that every request goes, top to bottom:
//!
//! ```text
//! accept → facts → route → admit ──permit──► run → respond → settle
//!                           │ refusal                ▲
//!                           └────────────────────────┘
//! ```
//!
//! Accept is the adapter's. From admission on, an exchange is a task of its own: a client that leaves stops the
//! guest, and never the settling. There is one way out: every request with a tenant ends in one record, and its
//! response ends only when that record is durable.

use crate::account::GasSpent;
use crate::bindings::admission::Ending;
use crate::bindings::{Facts, Outcome, Usage};
use crate::body::{BodyBounds, BodyEnd, GuestResponse, RequestBody, ResponseBody, Tail, Ties, counted};
use crate::book::Book;
use crate::facts::{Peer, Target, facts, unix_ns};
use crate::fault::Fault;
use crate::gate::{NotAdmitted, Permit, Refusal};
use crate::load::App;
use crate::names::Name;
use crate::place::Place;
use crate::record;
use crate::route::{Entry, House};
use crate::run::{Job, Ran, Sent};
use crate::wire;
use arc_swap::ArcSwap;
use bytes::Bytes;
use futures::FutureExt;
use http::request::Parts;
use http::{Method, Response};
use http_body::Body;
use http_body_util::BodyExt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;
use tokio::sync::oneshot::{self, error::TryRecvError};
use tokio::time::timeout_at;
use tokio_util::task::TaskTracker;
use tollgate_request::{End, Unreadable};
use tracing::Instrument;
use wasmtime_wasi_http::WasiBody;

/// The line of one host.
pub struct Line {
    house: ArcSwap<House>,
    book: Arc<dyn Book>,
    counters: Counters,
    /// Every exchange from its admission to its record, also those that began in a house before this one.
    exchanges: TaskTracker,
}

/// Requests that have no record, because they named no tenant.
#[derive(Debug, Default)]
pub struct Counters {
    /// Requests that could not be understood.
    pub unreadable: AtomicU64,
    /// Requests that no route answers.
    pub unrouted: AtomicU64,
}

impl Line {
    /// A line through this house, written into this book.
    pub fn new(house: House, book: Arc<dyn Book>) -> Arc<Self> {
        house.take_hold();
        Arc::new(Self {
            house: ArcSwap::from_pointee(house),
            book,
            counters: Counters::default(),
            exchanges: TaskTracker::new(),
        })
    }

    /// Changes the house. Requests under way end in the one they began in.
    pub fn replace(&self, house: House) {
        house.take_hold();
        self.house.store(Arc::new(house));
    }

    /// Takes apps out of service that `gone` names by tenant and app. Requests under way end.
    pub fn withdraw(&self, gone: impl Fn(&Name, &Name) -> bool) {
        let house = self.house.load_full().without(gone);
        self.house.store(Arc::new(house));
    }

    /// The present house.
    pub fn house(&self) -> Arc<House> {
        self.house.load_full()
    }

    /// Requests that have no record.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Requests that are not settled yet, whichever house they began in.
    pub fn under_way(&self) -> usize {
        self.exchanges.len()
    }

    /// Answers one request. May be dropped at any time: what was admitted is settled all the same.
    pub async fn serve(
        self: &Arc<Self>,
        request: http::Request<RequestBody>,
        peer: Peer,
    ) -> Response<ResponseBody> {
        let (mut parts, body) = request.into_parts();

        // Facts.
        let target = match Target::of(&parts, &peer) {
            Ok(target) => target,
            Err(unreadable) => return self.unreadable(unreadable, ""),
        };
        wire::clean_request_headers(&mut parts.headers);

        // Route.
        let house = self.house.load_full();
        let Some(entry) = house.route(&target.host, &target.path, &parts.method) else {
            self.counters.unrouted.fetch_add(1, Relaxed);
            house.count_unclaimed();
            return own(End::NoRoute, &target.request_id);
        };
        let facts = match facts(&parts, &peer, &target, &entry.route, &entry.resident.tenant.clients) {
            Ok(facts) => facts,
            Err(unreadable) => return self.unreadable(unreadable, &target.request_id),
        };

        // Admit, run, respond and settle: in a task of its own.
        let (head, response) = oneshot::channel();
        let (client, ended) = oneshot::channel();
        let request_id = facts.request_id.clone();
        let span = tracing::info_span!(
            "request",
            otel.kind = "server",
            request_id = facts.request_id,
            trace_id = facts.trace_id,
            tenant = facts.tenant,
            app = facts.app,
            route = facts.route,
        );
        let exchange = Exchange { line: self.clone(), entry: entry.clone(), facts, head, ended };
        let carried = exchange.carry(parts, body, target).instrument(span);
        match entry.background() {
            Some(threads) => self.exchanges.spawn_on(carried, threads),
            None => self.exchanges.spawn(carried),
        };
        match response.await {
            Ok(Head::Own(response)) => response.map(ResponseBody::ready),
            Ok(Head::Guest { response, settled, tail, bounds }) => {
                let announced = wire::content_length(response.headers());
                let ties = Ties { ended: client, settled };
                response.map(|body| ResponseBody::guest(body, tail, bounds, announced, ties))
            }
            Err(_) => own(End::from(Fault::Host), &request_id),
        }
    }
}

impl Line {
    fn unreadable(&self, unreadable: Unreadable, request_id: &str) -> Response<ResponseBody> {
        self.counters.unreadable.fetch_add(1, Relaxed);
        self.house.load().count_unclaimed();
        own(End::Unreadable(unreadable.0), request_id)
    }
}

/// A problem document of the host's own.
fn own(end: End, request_id: &str) -> Response<ResponseBody> {
    end.response(request_id).map(ResponseBody::ready)
}

/// What an exchange hands to the waiting connection.
enum Head {
    /// A whole response, whose record is durable.
    Own(Response<Bytes>),
    /// A response whose body streams, and ends when told so.
    Guest {
        response: Response<WasiBody>,
        settled: oneshot::Receiver<bool>,
        tail: Arc<Tail>,
        bounds: BodyBounds,
    },
}

/// One request from admission to its record.
struct Exchange {
    line: Arc<Line>,
    entry: Arc<Entry>,
    facts: Facts,
    head: oneshot::Sender<Head>,
    ended: oneshot::Receiver<BodyEnd>,
}

/// What one request has come to, short of its record.
struct Ended {
    ending: Ending,
    /// The response, if it was not sent yet.
    response: Option<Response<Bytes>>,
    /// To be told when the record is durable.
    settle: Option<oneshot::Sender<bool>>,
    /// The body's end did not come in time, so it must not come any more.
    cut: bool,
    /// Where the response goes.
    head: Option<oneshot::Sender<Head>>,
    /// Held to the end.
    _place: Option<Place>,
}

impl Ended {
    /// Nothing to send, and nobody to tell.
    fn of(ending: Ending) -> Self {
        Self { ending, response: None, settle: None, cut: false, head: None, _place: None }
    }
}

impl Exchange {
    async fn carry(mut self, parts: Parts, body: RequestBody, target: Target) {
        let (line, entry, facts) = (self.line.clone(), self.entry.clone(), self.facts.clone());
        let announced = wire::content_length(&parts.headers).or(body.size_hint().exact());
        let through = async {
            match self.admit(announced).await {
                Ok((app, place, permit)) => self.run(app, place, permit, parts, body, target).await,
                Err(refused) => self.refuse(refused),
            }
        };
        let ended = AssertUnwindSafe(through).catch_unwind().await.unwrap_or_else(|_| {
            tracing::error!(target: "tollgate::gate", "admission panicked");
            Ended::of(record::ending(Outcome::Failed(Fault::Host.code().into()), Vec::new()))
        });
        settle(&line, &entry, &facts, ended).await;
    }

    /// A place to run, then the gate's leave. The permit is noted in the book before anything runs.
    async fn admit(&mut self, announced: Option<u64>) -> Result<(Arc<App>, Place, Permit), Refused> {
        let entry = self.entry.clone();
        let (route, tenant) = (&entry.route, &entry.resident.tenant);
        let app = route.app.clone().ok_or(End::AppRefused)?;
        if announced.is_some_and(|bytes| bytes > app.limits.request_body_bytes) {
            let figures =
                announced.map(|bytes| ("request-body-bytes".into(), bytes, app.limits.request_body_bytes));
            return Err(Refused { limits: figures.into_iter().collect(), ..End::BodyTooLarge.into() });
        }
        if app.runtime.pressure.refuses() {
            return Err(End::Saturated.into());
        }
        let account = &entry.resident.account;
        account.gas_left()?;
        let place = account.places.take().await.map_err(|_| End::Saturated)?;
        // Once more, now that no more requests run than there are places: by the gas of so many runs it may be passed.
        account.gas_left()?;
        if self.client_left() {
            return Err(Refused { outcome: Outcome::Abandoned, ..End::Saturated.into() });
        }
        let permit = tenant.gate.admit(&self.facts, route.failure).await?;
        let note = record::interrupted(&self.facts, &permit.policies);
        if let Err(error) = self.line.book.admitted(&note) {
            tracing::error!(target: "tollgate::book", %error, "a request was refused, because it can't be recorded");
            return Err(Refused { end: End::BookClosed, charges: permit.charges, ..End::BookClosed.into() });
        }
        Ok((app, place, permit))
    }

    /// Runs the app. A panic in here ends this request, and no other.
    async fn run(
        self,
        app: Arc<App>,
        place: Place,
        permit: Permit,
        parts: Parts,
        body: RequestBody,
        target: Target,
    ) -> Ended {
        let no_body = parts.method == Method::HEAD;
        let bytes_in = Arc::new(AtomicU64::new(0));
        let tail = Arc::new(Tail::default());
        let body = counted(body, app.limits.request_body_bytes, bytes_in.clone());
        let request = wire::request_for_guest(parts, body, &target, &self.facts);
        // What came before was no work of the guest's.
        let started = Instant::now();
        let job = Job {
            request_id: self.facts.request_id.clone(),
            started,
            request,
            bytes_in,
            tail: tail.clone(),
            ended: self.ended,
        };
        let (charges, policies) = (permit.charges.clone(), permit.policies.clone());
        let rate_headers = permit.headers.clone();
        let (settle, settled) = oneshot::channel();
        let mut head = Some(self.head);
        let mut whole = None;
        let deadline = started + app.limits.deadline;
        let bounds = BodyBounds { bytes: app.limits.response_body_bytes, deadline };
        let request_id = self.facts.request_id.as_str();
        let deliver = |response: GuestResponse| {
            let response = match response {
                GuestResponse::Streams(response) => response,
                GuestResponse::Whole(response) => {
                    let response = wire::response_from_guest(response, &rate_headers, request_id)?;
                    let bodiless = no_body || wire::has_no_body(&response);
                    tail.bytes.fetch_add(if bodiless { 0 } else { response.body().len() as u64 }, Relaxed);
                    whole = Some(if bodiless { response.map(|_| Bytes::new()) } else { response });
                    return Ok(Sent::Whole);
                }
            };
            let response = wire::response_from_guest(response, &rate_headers, request_id)?;
            let announced = wire::content_length(response.headers()).filter(|_| !no_body);
            if announced.is_some_and(|bytes| bytes > bounds.bytes) {
                return Err(Fault::ResponseTooLarge);
            }
            if no_body || wire::has_no_body(&response) || response.body().is_end_stream() {
                // The guest may go on writing, and must not find that nobody reads.
                let (parts, body) = response.into_parts();
                let (ended, drained) = oneshot::channel();
                tokio::spawn(timeout_at(deadline.into(), drain(body, ended)));
                whole = Some(Response::from_parts(parts, Bytes::new()));
                return Ok(Sent::Drains(drained));
            }
            if let Some(head) = head.take() {
                // If the connection is gone, the body's end says so.
                let _ = head.send(Head::Guest { response, settled, tail, bounds });
            }
            Ok(Sent::Streams)
        };
        let ran = AssertUnwindSafe(app.run(permit, job, deliver)).catch_unwind().await;
        let Ok(mut ran) = ran else {
            tracing::error!(target: "tollgate::run", "a request's task panicked");
            let mut ending = record::ending(Outcome::Failed(Fault::Host.code().into()), policies);
            ending.charges = charges;
            let response = head.is_some().then(|| End::from(Fault::Host).response(request_id));
            let settle = Some(settle);
            return Ended { response, settle, head, _place: Some(place), ..Ended::of(ending) };
        };
        let response = match (&head, ran.fault) {
            (None, _) => None,
            (Some(_), Some(fault)) => {
                Some(wire::with_headers(End::from(fault).response(request_id), &rate_headers))
            }
            (Some(_), None) => whole,
        };
        let status = response.as_ref().map(|response| response.status().as_u16());
        let (outcome, cut) = outcome(&mut ran, head.is_none(), status, deadline).await;
        let (ending, settle) = (ended(&app, ran, outcome), Some(settle));
        Ended { response, settle, cut, head, _place: Some(place), ..Ended::of(ending) }
    }

    /// Whether nobody waits for the answer any more. A flood of requests that are taken back at once begins none.
    fn client_left(&mut self) -> bool {
        matches!(self.ended.try_recv(), Err(TryRecvError::Closed))
    }

    fn refuse(self, refused: Refused) -> Ended {
        let Refused { end, outcome, policies, headers, metadata, limits, charges } = refused;
        let response = wire::with_headers(end.response(&self.facts.request_id), &headers);
        let ending = Ending { metadata, limits, charges, ..record::ending(outcome, policies) };
        Ended { response: Some(response), head: Some(self.head), ..Ended::of(ending) }
    }
}

/// Has the record made and written, and then lets the response go.
async fn settle(line: &Line, entry: &Entry, facts: &Facts, ended: Ended) {
    let Ended { ending, response, settle, cut, head, _place } = ended;
    let gate = &entry.resident.tenant.gate;
    let settled = AssertUnwindSafe(gate.settle(facts, &ending)).catch_unwind().await;
    let record = match settled.unwrap_or_else(|_| Err("the settling panicked".into())) {
        Ok(record) => record,
        Err(error) => {
            let mut ending = ending;
            ending.metadata.push(("settle-error".into(), error));
            record::of(facts, ending)
        }
    };
    let log = (record.outcome.clone(), record.usage);
    gate.spent(&record.usage);
    let written = line.book.settle(record).await;
    let (outcome, usage) = log;
    tracing::info!(
        target: "tollgate::request",
        outcome = wire::outcome_name(&outcome),
        detail = wire::outcome_detail(&outcome),
        method = facts.method,
        gas = usage.gas,
        fuel = usage.fuel,
        memory_bytes = usage.memory_bytes,
        cpu_us = usage.cpu / 1_000,
        wall_us = usage.wall / 1_000,
        index = written.as_ref().ok(),
        "settled"
    );
    if let Err(error) = &written {
        tracing::error!(target: "tollgate::book", %error, "a request has no record");
    }
    let durable = written.is_ok();
    if let Some(settle) = settle {
        // A body that is gone needs no word.
        let _ = settle.send(durable && !cut);
    }
    if let (Some(head), Some(response)) = (head, response) {
        let response = if durable { response } else { End::BookClosed.response(&facts.request_id) };
        let _ = head.send(Head::Own(response));
    }
}

/// What happened in the end, once the run is over and the body too; and whether the body must be cut, because by the
/// deadline the client had not read it.
async fn outcome(ran: &mut Ran, sent: bool, status: Option<u16>, deadline: Instant) -> (Outcome, bool) {
    if let Some(fault) = ran.fault {
        return (Outcome::Failed(fault.code().into()), false);
    }
    if !sent {
        // Also when that was told already.
        let left = matches!(ran.ended.try_recv(), Err(TryRecvError::Closed));
        let outcome = status.filter(|_| !left).map_or(Outcome::Abandoned, Outcome::Answered);
        return (outcome, false);
    }
    let end = match ran.body_end {
        Some(end) => end,
        None => match timeout_at(deadline.into(), &mut ran.ended).await {
            Ok(end) => end.unwrap_or(BodyEnd::Abandoned),
            Err(_) => {
                ran.tail.fail(Fault::Deadline);
                return (Outcome::Failed(Fault::Deadline.code().into()), true);
            }
        },
    };
    let outcome = match end {
        BodyEnd::Whole => Outcome::Answered(ran.status),
        BodyEnd::Cut(fault) => Outcome::Failed(fault.code().into()),
        BodyEnd::Abandoned => Outcome::Abandoned,
    };
    (outcome, false)
}

/// Reads a body that is not sent, to its end, which is the end of `ended`, too.
async fn drain(mut body: WasiBody, ended: oneshot::Sender<()>) {
    while let Some(Ok(_)) = body.frame().await {}
    drop(ended);
}

/// A run's ending, with what it took and what it might have taken.
fn ended(app: &App, ran: Ran, outcome: Outcome) -> Ending {
    let limits = &app.limits;
    let usage = Usage { bytes_out: ran.tail.bytes.load(Relaxed), ..ran.usage };
    let mut figures = vec![
        ("fuel".into(), usage.fuel, limits.fuel),
        ("gas".into(), usage.gas, limits.gas),
        ("cpu-ms".into(), usage.cpu / 1_000_000, limits.cpu.as_millis() as u64),
        ("deadline-ms".into(), usage.wall / 1_000_000, limits.deadline.as_millis() as u64),
        ("host-wait-ms".into(), ran.waited.as_millis() as u64, limits.host_wait.as_millis() as u64),
        ("memory-bytes".into(), usage.memory_bytes, limits.memory_bytes as u64),
        ("request-body-bytes".into(), usage.bytes_in, limits.request_body_bytes),
        ("response-body-bytes".into(), usage.bytes_out, limits.response_body_bytes),
        ("host-calls".into(), usage.host_calls, limits.host_calls),
        (
            "outgoing-requests".into(),
            u64::from(ran.report.outgoing_requests),
            u64::from(limits.outgoing_requests),
        ),
        ("log-lines".into(), u64::from(ran.report.log.lines), u64::from(limits.log_lines)),
    ];
    if ran.fault == Some(Fault::Handles) {
        // Nobody counts them but the engine, which says only that there were too many.
        figures.push(("handles".into(), limits.handles as u64, limits.handles as u64));
    }
    let mut metadata = vec![
        ("component".to_owned(), app.digest().to_owned()),
        ("gas-schedule".to_owned(), app.runtime.schedule().id().to_owned()),
        ("mode".to_owned(), app.mode().name().to_owned()),
        ("instance".to_owned(), ran.instance.to_owned()),
    ];
    metadata.extend(
        ran.report
            .figures
            .calls
            .iter()
            .map(|(interface, count)| (format!("calls.{}", interface.name()), count.to_string())),
    );
    if ran.report.log.dropped > 0 {
        metadata.push(("log-lines-dropped".to_owned(), ran.report.log.dropped.to_string()));
    }
    if ran.permit.unchecked {
        metadata.push(("gate".to_owned(), "failed-open".to_owned()));
    }
    Ending {
        outcome,
        usage,
        limits: figures,
        metadata,
        policies: ran.permit.policies,
        charges: ran.permit.charges,
        now: unix_ns(),
    }
}

/// Why a request does not run, for the client and for the record.
struct Refused {
    end: End,
    outcome: Outcome,
    policies: Vec<String>,
    headers: Vec<(String, String)>,
    metadata: Vec<(String, String)>,
    /// What was asked for of a limit, and the limit.
    limits: Vec<(String, u64, u64)>,
    charges: Vec<crate::bindings::admission::Charge>,
}

impl From<End> for Refused {
    fn from(end: End) -> Self {
        let outcome = Outcome::Refused(end.code().into());
        Self {
            end,
            outcome,
            policies: Vec::new(),
            headers: Vec::new(),
            metadata: Vec::new(),
            limits: Vec::new(),
            charges: Vec::new(),
        }
    }
}

impl From<GasSpent> for Refused {
    fn from(spent: GasSpent) -> Self {
        let limits = vec![("gas-per-hour".to_owned(), spent.gas.used, spent.gas.limit)];
        Self { limits, ..End::GasSpent(spent.seconds_left).into() }
    }
}

impl From<NotAdmitted> for Refused {
    fn from(not: NotAdmitted) -> Self {
        let refusal = match not {
            NotAdmitted::Busy => return End::Saturated.into(),
            NotAdmitted::Refused(refusal) => refusal,
        };
        match refusal {
            Refusal::Denied(denied) => Self {
                outcome: Outcome::Denied,
                policies: denied.policies,
                metadata: denied.errors.into_iter().map(|error| ("policy-error".to_owned(), error)).collect(),
                ..End::Denied.into()
            },
            Refusal::Limited(limited) => Self {
                outcome: Outcome::Limited,
                policies: limited.policies,
                headers: limited.headers,
                metadata: vec![("bucket".to_owned(), limited.bucket)],
                ..End::Limited.into()
            },
            Refusal::Failed(reason) => {
                Self { metadata: vec![("gate-error".to_owned(), reason)], ..End::GateFailed.into() }
            }
        }
    }
}
