//! An app for `wasi:http` 0.3 that answers one request, on a fresh instance, without a host around it.

use crate::PLENTY;
use bytes::Bytes;
use futures::channel::oneshot;
use http_body_util::{BodyExt, Empty};
use std::future::pending;
use tollgate_derive::instrument::GAS_INTERFACE;
use wasmtime::component::{Accessor, Component, Instance, Linker, ResourceTable, Val};
use wasmtime::{AsContextMut, Engine, Store};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::handler::{Prepared, Proxy};
use wasmtime_wasi_http::p3::bindings::Service;
use wasmtime_wasi_http::{
    Error, RequestOptions, WasiBody, WasiHttpCtx, WasiHttpCtxView, WasiHttpHooks, WasiHttpView,
};

struct Data {
    table: ResourceTable,
    wasi: WasiCtx,
    http: WasiHttpCtx,
    hooks: NoHooks,
}

/// Sends nothing.
struct NoHooks;

type Sent = Box<
    dyn Future<
            Output = Result<
                (http::Response<WasiBody>, Box<dyn Future<Output = Result<(), Error>> + Send>),
                Error,
            >,
        > + Send,
>;

impl WasiHttpHooks for NoHooks {
    fn send_request(
        &mut self,
        _: http::Request<WasiBody>,
        _: Option<RequestOptions>,
        _: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Sent {
        Box::new(std::future::ready(Err(Error::HttpRequestDenied)))
    }
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

/// What the app answers, and what it used for that from its start on: by the engine's count, or by its own.
pub fn answer(engine: &Engine, component: &[u8], target: &str, counts_fuel: bool) -> (String, u64) {
    let component = Component::new(engine, component).unwrap();
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker).unwrap();
    wasmtime_wasi::p3::add_to_linker(&mut linker).unwrap();
    wasmtime_wasi_http::p3::add_to_linker(&mut linker).unwrap();
    let data = Data {
        table: ResourceTable::new(),
        wasi: WasiCtx::builder().build(),
        http: WasiHttpCtx::new(),
        hooks: NoHooks,
    };
    let mut store = Store::new(engine, data);
    if counts_fuel {
        store.set_fuel(PLENTY).unwrap();
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let instance = linker.instantiate_async(&mut store, &component).await.unwrap();
        let proxy = Proxy::P3(Service::new(&mut store, &instance).unwrap());
        let body = Empty::<Bytes>::new().map_err(|never| match never {}).boxed_unsync();
        let request = http::Request::get(format!("http://acme.test{target}")).body(body).unwrap();
        let (sender, answer) = oneshot::channel();
        let run = async |accessor: &Accessor<Data>| {
            let prepared = accessor.with(|mut store| {
                Prepared::new(store.as_context_mut(), &proxy, request, WasiHttpView::http, sender)
            })?;
            let read = async { answer.await.unwrap().unwrap().into_body().collect().await.unwrap() };
            let (ran, read) = futures::join!(prepared.run(accessor, pending()), read);
            ran?;
            wasmtime::error::Ok(read.to_bytes())
        };
        let text = store.run_concurrent(run).await.unwrap().unwrap();
        let used =
            if counts_fuel { PLENTY - store.get_fuel().unwrap() } else { told(&mut store, &instance).await };
        (String::from_utf8_lossy(&text).into_owned(), used)
    })
}

/// What an instrumented component tells of its gas.
async fn told(store: &mut Store<Data>, instance: &Instance) -> u64 {
    let interface = instance.get_export_index(&mut *store, None, GAS_INTERFACE).unwrap();
    let used = instance.get_export_index(&mut *store, Some(&interface), "used").unwrap();
    let mut results = [Val::Bool(false)];
    let used = instance.get_func(&mut *store, used).unwrap();
    used.call_async(&mut *store, &[], &mut results).await.unwrap();
    match results {
        [Val::U64(used)] => used,
        other => panic!("{other:?}"),
    }
}
