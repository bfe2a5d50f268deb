//! What a store holds for its guest. Nothing in here can be borrowed by a host function but through a crossing.

use crate::clock::RunClock;
use crate::gas::Interface;
use crate::handles::GuestStores;
use crate::http::{Outgoing, Sending};
use crate::limits::Limits;
use crate::meter::Meter;
use crate::names::Name;
use crate::runtime::Runtime;
use crate::seams::{Bucket, Signer};
use crate::stdio::GuestLog;
use std::collections::BTreeMap;
use std::sync::Arc;
use wasmtime::component::{HasData, ResourceTable};
use wasmtime_wasi::WasiCtx;
use wasmtime_wasi::cli::WasiCliCtxView;
use wasmtime_wasi::clocks::WasiClocksCtxView;
use wasmtime_wasi::filesystem::WasiFilesystemCtxView;
use wasmtime_wasi::random::WasiRandomCtx;
use wasmtime_wasi::sockets::WasiSocketsCtxView;
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView};

pub(crate) mod runs;

pub(crate) use runs::Report;
use runs::{Roster, RunPart};

/// The data of a store.
pub(crate) struct State {
    pub(crate) meter: Meter,
    table: ResourceTable,
    wasi: WasiCtx,
    http: WasiHttpCtx,
    outgoing: Outgoing,
    stores: GuestStores,
    config: Arc<BTreeMap<String, String>>,
    signer: Option<Arc<dyn Signer>>,
    log: Option<Arc<GuestLog>>,
    /// In mode `concurrent`: the other runs of this instance.
    roster: Option<Box<Roster>>,
}

/// What every store of one of the host's own components is made of.
pub(crate) struct StoreParts {
    runtime: Arc<Runtime>,
    tenant: Name,
    stores: GuestStores,
    signer: Option<Arc<dyn Signer>>,
}

impl StoreParts {
    /// For gate components and the audit log: stores, perhaps a signer, and nothing else.
    pub(crate) fn for_host(
        runtime: &Arc<Runtime>,
        tenant: &Name,
        stores: BTreeMap<Name, Arc<dyn Bucket>>,
        signer: Option<Arc<dyn Signer>>,
    ) -> Self {
        let stores = GuestStores(Arc::new(stores));
        Self { runtime: runtime.clone(), tenant: tenant.clone(), stores, signer }
    }

    /// The host that it is for.
    pub(crate) fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// A state for a new store.
    pub(crate) fn state(&self, limits: &Arc<Limits>, clock: Arc<RunClock>) -> State {
        let engine = &self.runtime.engines.gates;
        let outgoing = Outgoing {
            tenant: self.tenant.clone(),
            grant: None,
            connections: 0,
            account: None,
            transport: self.runtime.transport.clone(),
            limits: limits.clone(),
            run: Sending::until(clock.started() + limits.deadline, Arc::default()),
        };
        State::new(Parts {
            meter: Meter::new(engine, self.runtime.schedule.clone(), limits.clone(), clock),
            wasi: WasiCtx::builder().build(),
            outgoing,
            stores: self.stores.clone(),
            config: Arc::default(),
            signer: self.signer.clone(),
            log: None,
        })
    }
}

/// What one store is made of.
pub(crate) struct Parts {
    pub(crate) meter: Meter,
    pub(crate) wasi: WasiCtx,
    pub(crate) outgoing: Outgoing,
    pub(crate) stores: GuestStores,
    pub(crate) config: Arc<BTreeMap<String, String>>,
    pub(crate) signer: Option<Arc<dyn Signer>>,
    pub(crate) log: Option<Arc<GuestLog>>,
}

impl State {
    pub(crate) fn new(parts: Parts) -> Self {
        let limits = parts.meter.limits();
        let mut http = WasiHttpCtx::new();
        http.set_field_size_limit(limits.header_bytes);
        let mut table = ResourceTable::new();
        table.set_max_capacity(limits.handles);
        Self {
            table,
            http,
            meter: parts.meter,
            wasi: parts.wasi,
            outgoing: parts.outgoing,
            stores: parts.stores,
            config: parts.config,
            signer: parts.signer,
            log: parts.log,
            roster: None,
        }
    }

    /// The choke point: every borrow by a host function begins here, because the fields are private to this module
    /// (and to `runs`, which no host function calls) and every way out of it below calls this first.
    fn cross(&mut self, interface: Interface) -> &mut Self {
        self.meter.cross(interface);
        self
    }

    pub(crate) fn io(&mut self) -> &mut ResourceTable {
        &mut self.cross(Interface::Io).table
    }

    pub(crate) fn clocks(&mut self) -> WasiClocksCtxView<'_> {
        let this = self.cross(Interface::Clocks);
        WasiClocksCtxView { ctx: this.wasi.clocks(), table: &mut this.table }
    }

    pub(crate) fn random(&mut self) -> &mut WasiRandomCtx {
        self.cross(Interface::Random).wasi.random()
    }

    pub(crate) fn cli(&mut self) -> WasiCliCtxView<'_> {
        let this = self.cross(Interface::Cli);
        WasiCliCtxView { ctx: this.wasi.cli(), table: &mut this.table }
    }

    pub(crate) fn filesystem(&mut self) -> WasiFilesystemCtxView<'_> {
        let this = self.cross(Interface::Filesystem);
        WasiFilesystemCtxView { ctx: this.wasi.filesystem(), table: &mut this.table }
    }

    pub(crate) fn sockets(&mut self) -> WasiSocketsCtxView<'_> {
        let this = self.cross(Interface::Sockets);
        WasiSocketsCtxView { ctx: this.wasi.sockets(), table: &mut this.table }
    }

    pub(crate) fn http_types(&mut self) -> WasiHttpCtxView<'_> {
        self.cross(Interface::HttpTypes).http_uncounted()
    }

    pub(crate) fn http_outgoing(&mut self) -> WasiHttpCtxView<'_> {
        self.cross(Interface::HttpOutgoing).http_uncounted()
    }

    /// Begins the next run of a reused instance: every count from zero.
    pub(crate) fn begin(&mut self, clock: &Arc<RunClock>, request_id: &str) {
        if let Some(log) = &self.log {
            log.begin(request_id);
        }
        self.meter.begin(clock.clone(), self.meter.limits().clone());
        self.outgoing.run.sent = 0;
        self.outgoing.run.deadline = clock.started() + self.meter.limits().deadline;
    }

    /// Begins the run of an instance that was made for it before.
    pub(crate) fn begin_pristine(&mut self, clock: &Arc<RunClock>, request_id: &str) {
        if let Some(log) = &self.log {
            log.set_request(request_id);
        }
        self.meter.begin_pristine(clock.clone());
        self.outgoing.run.deadline = clock.started() + self.meter.limits().deadline;
    }

    /// Whether the guest, or another run of its instance, has had its thread for less than a tick.
    pub(crate) fn poll_is_young(&self) -> bool {
        self.roster.as_ref().map_or_else(|| self.meter.poll_is_young(), |roster| roster.poll_is_young())
    }

    /// Goes on with another run of this instance. The present one's part takes its place.
    pub(crate) fn turn_to(&mut self, part: &mut RunPart) {
        self.meter.turn_to(&mut part.bill);
        std::mem::swap(&mut self.outgoing.run, &mut part.sending);
        if let Some(log) = &self.log {
            log.turn_to(&mut part.log);
        }
    }

    /// What the present run has taken, having this much fuel left. Ends its last line.
    pub(crate) fn report(&self, fuel_left: Option<u64>) -> Report {
        Report {
            figures: self.meter.figures(fuel_left),
            outgoing_requests: self.outgoing.run.sent,
            log: self.log.as_ref().map(|log| log.end()).unwrap_or_default(),
        }
    }

    /// As [`State::report`], of a run whose turn it is not.
    pub(crate) fn report_of(&self, part: &mut RunPart, fuel_left: Option<u64>) -> Report {
        Report {
            figures: self.meter.figures_of(&part.bill, fuel_left),
            outgoing_requests: part.sending.sent,
            log: self.log.as_ref().map(|log| log.end_of(&mut part.log)).unwrap_or_default(),
        }
    }

    /// For the host's own use before and after the guest runs.
    pub(crate) fn http_uncounted(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { hooks: &mut self.outgoing, table: &mut self.table, ctx: &mut self.http }
    }

    pub(crate) fn keyvalue(&mut self, interface: Interface) -> KeyvalueView<'_> {
        let this = self.cross(interface);
        KeyvalueView { table: &mut this.table, stores: &this.stores, meter: &mut this.meter, interface }
    }

    pub(crate) fn config(&mut self) -> ConfigView<'_> {
        ConfigView { values: &self.cross(Interface::Config).config }
    }

    pub(crate) fn signer(&mut self) -> SignerView<'_> {
        SignerView { signer: self.cross(Interface::Signer).signer.as_deref() }
    }
}

/// What `wasi:keyvalue` functions borrow.
pub(crate) struct KeyvalueView<'a> {
    pub(crate) table: &'a mut ResourceTable,
    pub(crate) stores: &'a GuestStores,
    pub(crate) meter: &'a mut Meter,
    pub(crate) interface: Interface,
}

/// What `wasi:config` functions borrow.
pub(crate) struct ConfigView<'a> {
    pub(crate) values: &'a BTreeMap<String, String>,
}

/// What `tollgate:platform/signer` functions borrow.
pub(crate) struct SignerView<'a> {
    pub(crate) signer: Option<&'a dyn Signer>,
}

/// Names the views for the linker.
pub(crate) struct HasKeyvalue;
impl HasData for HasKeyvalue {
    type Data<'a> = KeyvalueView<'a>;
}

/// Names the views for the linker.
pub(crate) struct HasConfig;
impl HasData for HasConfig {
    type Data<'a> = ConfigView<'a>;
}

/// Names the views for the linker.
pub(crate) struct HasSigner;
impl HasData for HasSigner {
    type Data<'a> = SignerView<'a>;
}

/// Names the resource table for the linker.
pub(crate) struct HasIo;
impl HasData for HasIo {
    type Data<'a> = &'a mut ResourceTable;
}
