//! What code may reach for: the engine, sockets, the environment and what the compiler can't check, each in its own place.

use crate::tree::{Rust, Tree, assert_none, is_in};

/// What a path may start with (without `std::`), where alone it may, and what to do elsewhere. Tests and benches are free.
const REACH: [(&[&str], &str, &str); 2] = [
    (
        &["wasmtime", "wasmtime_wasi", "wasmtime_wasi_http", "wasmtime_wizer", "wasmtime_environ"],
        "host/runtime",
        "the engine is used there only: go through what that crate offers",
    ),
    (
        &[
            "tokio::net",
            "socket2",
            "hyper::server",
            "hyper_util::server",
            "os::unix::net",
            "net::*",
            "net::TcpListener",
            "net::TcpStream",
            "net::UdpSocket",
        ],
        "edge-adapters/server",
        "sockets are used there only: take a trait that it implements",
    ),
];

/// Reading these is reading the environment, with `std::` before or without.
const ENVIRONMENT: [&str; 6] =
    ["env::var", "env::var_os", "env::vars", "env::vars_os", "env::set_var", "env::remove_var"];

/// Where alone the host may be unsafe.
const UNSAFE: &str = "host/runtime/src/native.rs";

/// What makes the host.
const HOST: [&str; 2] = ["host", "edge-adapters"];

/// What lies there and is a guest, whose bindings are unsafe inside a sandbox.
const GUESTS: [&str; 4] = [
    "edge-adapters/fastly/backend",
    "edge-adapters/fastly/front",
    "edge-adapters/fastly/platform",
    "edge-adapters/fastly/wasi",
];

/// Where everything may be used.
const FREE: [&str; 2] = ["tests", "benches"];

fn problems(tree: &Tree) -> Vec<String> {
    let checked = |rust: &Rust<'_>| !rust.is_test && !FREE.iter().any(|folder| is_in(rust.path, folder));
    tree.rust().filter(checked).flat_map(|rust| of_file(&rust)).collect()
}

fn of_file(rust: &Rust<'_>) -> Vec<String> {
    let mut problems = Vec::new();
    let is_main = rust.path.rsplit('/').next() == Some("main.rs");
    for named in rust.uses().named {
        let path = named.parts.join("::");
        let at = format!("{}:{}", rust.path, named.line);
        let plain = path.strip_prefix("std::").unwrap_or(&path);
        for (starts, owner, fix) in REACH {
            if starts.iter().any(|start| is_below(plain, start)) && !is_in(rust.path, owner) {
                problems.push(format!("{at}: `{path}` is for {owner}: {fix}"));
            }
        }
        if !is_main && ENVIRONMENT.iter().any(|start| is_below(plain, start)) {
            problems
                .push(format!("{at}: `{path}` reads the environment: read it in main.rs and pass the value"));
        }
    }
    if !is_main {
        problems.extend(compiled_in(rust));
    }
    let in_one = |folders: &[&str]| folders.iter().any(|folder| is_in(rust.path, folder));
    if rust.path != UNSAFE && in_one(&HOST) && !in_one(&GUESTS) {
        problems.extend(unchecked(rust));
    }
    problems
}

/// `unsafe`, or the leave to use it.
fn unchecked(rust: &Rust<'_>) -> Vec<String> {
    let tokens = rust.source.outside_tests();
    let unsafe_at = tokens.iter().filter(|token| token.is("unsafe") || token.is("unsafe_code"));
    unsafe_at.map(|token| format!("{}:{}: `{}` is for {UNSAFE}", rust.path, token.line, token.text)).collect()
}

/// `env!` of anything but what cargo knows of the package.
fn compiled_in(rust: &Rust<'_>) -> Vec<String> {
    let tokens = rust.source.outside_tests();
    let read = tokens.windows(4).filter_map(|window| {
        let [name, sign, _, argument] = window else { return None };
        let reads = (name.is("env") || name.is("option_env")) && sign.is("!");
        (reads && !argument.text.starts_with("CARGO_PKG_")).then_some((name.line, argument.text))
    });
    read.map(|(line, name)| {
        format!("{}:{line}: `{name}` is the build's environment: pass the value from main.rs", rust.path)
    })
    .collect()
}

fn is_below(path: &str, start: &str) -> bool {
    path.strip_prefix(start).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

#[test]
fn the_engine_sockets_and_the_environment_stay_in_their_places() {
    assert_none(&problems(&Tree::here()));
}

#[test]
fn reaching_past_ones_place_is_named_with_its_line() {
    let cli = "use wasmtime::Engine;\nuse std::{net::{IpAddr, TcpStream}, env};\nfn f() { env::var(\"A\"); }";
    let trust =
        "// std::env::var\nconst V: &str = env!(\"CARGO_PKG_VERSION\"); const W: &str = env!(\"HOME\");";
    let tree = Tree::of(&[
        ("host/cli/src/lib.rs", cli),
        ("host/cli/src/main.rs", "fn main() { std::env::var(\"A\"); env!(\"B\"); }"),
        ("host/trust/src/lib.rs", trust),
        ("host/trust/src/tests.rs", "use tokio::net::TcpStream;"),
        ("edge-adapters/server/src/lib.rs", "use tokio::net::TcpStream; use hyper::server::conn;"),
        ("tests/it/main.rs", "use wasmtime::Engine; unsafe fn f() {}"),
        ("host/runtime/src/cache.rs", "#[expect(unsafe_code)]\nfn f() { unsafe { g() } }"),
        (UNSAFE, "#![expect(unsafe_code)]\nfn f() { unsafe { g() } }"),
    ]);
    assert_eq!(
        problems(&tree),
        [
            "host/cli/src/lib.rs:1: `wasmtime::Engine` is for host/runtime: the engine is used there only: go through what that crate offers",
            "host/cli/src/lib.rs:2: `std::net::TcpStream` is for edge-adapters/server: sockets are used there only: take a trait that it implements",
            "host/cli/src/lib.rs:3: `env::var` reads the environment: read it in main.rs and pass the value",
            "host/runtime/src/cache.rs:1: `unsafe_code` is for host/runtime/src/native.rs",
            "host/runtime/src/cache.rs:2: `unsafe` is for host/runtime/src/native.rs",
            "host/trust/src/lib.rs:2: `HOME` is the build's environment: pass the value from main.rs",
        ]
    );
}
