//! What a store holds for its guest. Nothing in here can be borrowed by a host function but through a crossing.

use crate::clock::RunClock;
use crate::gas::Interface;
use crate::handles::GuestStores;
use crate::http::Outgoing;
use crate::limits::Limits;
use crate::meter::Meter;
use crate::names::Name;
use crate::runtime::Runtime;
use crate::seams::{Bucket, Signer};
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
            deadline: clock.started() + limits.deadline,
            sent: 0,
            bytes: Arc::default(),
        };
        State::new(Parts {
            meter: Meter::new(engine, self.runtime.schedule.clone(), limits.clone(), clock),
            wasi: WasiCtx::builder().build(),
            outgoing,
            stores: self.stores.clone(),
            config: Arc::default(),
            signer: self.signer.clone(),
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
        }
    }

    /// The choke point: every borrow by a host function begins here, because the fields are private to this module
    /// and every way out of it below calls this first.
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
    pub(crate) fn begin(&mut self, clock: &Arc<RunClock>) {
        self.meter.begin(clock.clone(), self.meter.limits().clone());
        self.outgoing.sent = 0;
        self.outgoing.deadline = clock.started() + self.meter.limits().deadline;
    }

    /// Begins the run of an instance that was made for it before.
    pub(crate) fn begin_pristine(&mut self, clock: &Arc<RunClock>) {
        self.meter.begin_pristine(clock.clone());
        self.outgoing.deadline = clock.started() + self.meter.limits().deadline;
    }

    /// Outgoing requests of this run so far.
    pub(crate) fn outgoing_requests(&self) -> u32 {
        self.outgoing.sent
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
