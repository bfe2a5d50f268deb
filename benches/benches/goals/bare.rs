//! A component in the bare engine: with fuel, with epochs, or with neither.

use crate::report::thread_cpu;
use benchkit::NoHooks;
use bytes::Bytes;
use futures::channel::oneshot;
use http_body_util::{BodyExt, Empty};
use std::future::pending;
use std::path::Path;
use std::time::Duration;
use wasmtime::component::{Component, Linker, ResourceTable};
use wasmtime::{AsContextMut, Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, Store};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::handler::{Prepared, Proxy, ProxyPre};
use wasmtime_wasi_http::p3::bindings::ServicePre;
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

/// What the engine's code counts.
#[derive(Clone, Copy)]
pub(crate) struct Counts {
    pub(crate) fuel: bool,
    pub(crate) epochs: bool,
}

/// An app written for `wasi:http` 0.3 in an engine without limits.
pub(crate) struct BareApp {
    engine: Engine,
    pre: ProxyPre<Data>,
    counts: Counts,
    runtime: tokio::runtime::Runtime,
}

struct Data {
    table: ResourceTable,
    wasi: WasiCtx,
    http: WasiHttpCtx,
    hooks: NoHooks,
}

impl WasiView for Data {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiHttpView for Data {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { ctx: &mut self.http, table: &mut self.table, hooks: &mut self.hooks }
    }
}

impl BareApp {
    /// Compiles it as the host does, but for what is counted.
    pub(crate) fn new(component: &Path, counts: Counts) -> Self {
        let mut config = Config::new();
        config
            .consume_fuel(counts.fuel)
            .epoch_interruption(counts.epochs)
            .wasm_component_model_async(true)
            .cranelift_nan_canonicalization(true)
            .relaxed_simd_deterministic(true)
            .allocation_strategy(InstanceAllocationStrategy::Pooling(PoolingAllocationConfig::new()));
        let engine = Engine::new(&config).unwrap();
        let component = Component::from_file(&engine, component).unwrap();
        let mut linker = Linker::new(&engine);
        wasmtime_wasi::p2::add_to_linker_async(&mut linker).unwrap();
        wasmtime_wasi::p3::add_to_linker(&mut linker).unwrap();
        wasmtime_wasi_http::p3::add_to_linker(&mut linker).unwrap();
        let pre = ServicePre::new(linker.instantiate_pre(&component).unwrap()).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Self { engine, pre: ProxyPre::P3(pre), counts, runtime }
    }

    /// An instance with its store, and the processor time that its making took.
    pub(crate) fn make(&self) -> Duration {
        self.runtime.block_on(async {
            let began = thread_cpu();
            drop(self.fresh().await);
            thread_cpu() - began
        })
    }

    async fn fresh(&self) -> (Store<Data>, Proxy) {
        let data = Data {
            table: ResourceTable::new(),
            wasi: WasiCtx::builder().build(),
            http: WasiHttpCtx::new(),
            hooks: NoHooks,
        };
        let mut store = Store::new(&self.engine, data);
        if self.counts.fuel {
            store.set_fuel(u64::MAX / 2).unwrap();
        }
        if self.counts.epochs {
            store.set_epoch_deadline(1 << 40);
        }
        let proxy = self.pre.instantiate_async(&mut store).await.unwrap();
        (store, proxy)
    }

    /// Has a fresh instance answer one request; returns what it said, and the processor time from the making of the
    /// instance on.
    pub(crate) fn ask(&self, target: &str) -> (String, Duration) {
        self.runtime.block_on(async {
            let began = thread_cpu();
            let (mut store, proxy) = self.fresh().await;
            let body = Empty::<Bytes>::new().map_err(|never| match never {}).boxed_unsync();
            let request = http::Request::get(format!("http://acme.test{target}")).body(body).unwrap();
            let (sender, answer) = oneshot::channel();
            let run = async |accessor: &wasmtime::component::Accessor<Data>| {
                let prepared = accessor.with(|mut store| {
                    Prepared::new(store.as_context_mut(), &proxy, request, WasiHttpView::http, sender)
                })?;
                let read = async { answer.await.unwrap().unwrap().into_body().collect().await.unwrap() };
                let (ran, read) = futures::join!(prepared.run(accessor, pending()), read);
                ran?;
                wasmtime::error::Ok(read.to_bytes())
            };
            let text = store.run_concurrent(run).await.unwrap().unwrap();
            (String::from_utf8_lossy(&text).into_owned(), thread_cpu() - began)
        })
    }
}
