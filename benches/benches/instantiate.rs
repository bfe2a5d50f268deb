//! What an instance costs with every limit armed, beside the bare engine's with the same bytes.
//!
//! `cargo xtask bench instantiate`

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "a benchmark stops and prints here"
)]

use benchkit::{Samples, block_on, rig};
use wasmtime::component::{Component, Linker, ResourceTable};
use wasmtime::{Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, Store};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

const COUNT: usize = 20_000;

struct Bare {
    table: ResourceTable,
    wasi: WasiCtx,
    http: WasiHttpCtx,
    hooks: benchkit::NoHooks,
}

impl WasiView for Bare {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiHttpView for Bare {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { ctx: &mut self.http, table: &mut self.table, hooks: &mut self.hooks }
    }
}

fn main() {
    block_on(async {
        let path = testkit::guest("hello");
        let mut config = Config::new();
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(PoolingAllocationConfig::new()));
        let engine = Engine::new(&config).unwrap();
        let component = Component::from_file(&engine, &path).unwrap();
        let mut linker = Linker::new(&engine);
        wasmtime_wasi::p2::add_to_linker_async(&mut linker).unwrap();
        wasmtime_wasi::p3::add_to_linker(&mut linker).unwrap();
        wasmtime_wasi_http::p3::add_to_linker(&mut linker).unwrap();
        let pre = linker.instantiate_pre(&component).unwrap();
        let bare = Samples::take(COUNT, async || {
            let data = Bare {
                table: ResourceTable::new(),
                wasi: WasiCtx::builder().build(),
                http: WasiHttpCtx::new(),
                hooks: benchkit::NoHooks,
            };
            let mut store = Store::new(&engine, data);
            pre.instantiate_async(&mut store).await.unwrap();
        })
        .await;
        let rig = rig().await;
        let app = rig.app("hello").await;
        let ours = Samples::take(COUNT, async || app.try_instance().await.unwrap()).await;
        bare.print("bare engine: store, context, instance", None);
        ours.print("tollgate: the same with all limits armed", Some(&bare));
    });
}
