//! The way from a guest's import to a grant, and from a grant to the linker.
//!
//! [`needs`] says what an import takes; [`linker`] links only what was granted. So an import that is not granted is
//! refused twice: by name, with the line that would grant it, and because there is nothing to link it to.

use crate::bindings;
use crate::gas::Interface;
use crate::grants::Grants;
use crate::state::{HasConfig, HasIo, HasKeyvalue, HasSigner, State};
use wasmtime::Engine;
use wasmtime::component::Linker;
use wasmtime_wasi::cli::WasiCli;
use wasmtime_wasi::clocks::WasiClocks;
use wasmtime_wasi::filesystem::WasiFilesystem;
use wasmtime_wasi::random::WasiRandom;
use wasmtime_wasi::sockets::WasiSockets;
use wasmtime_wasi_http::WasiHttp;

/// What an import takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// Nothing: every app has it.
    Nothing,
    /// A grant.
    Grant(GrantKind),
    /// What this host does not have.
    Unknown,
}

/// A grant that imports may need.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GrantKind {
    Http,
    Keyvalue,
    Config,
    Files,
    Sockets,
    Clocks,
    Random,
    /// For the audit component only; no configuration grants it.
    Signer,
}

impl GrantKind {
    /// The line of the `grants` table that would grant it.
    pub(crate) fn line(self) -> Option<&'static str> {
        match self {
            Self::Http => Some("http = { allow = [\"https://api.example.com\"] }"),
            Self::Keyvalue => Some("keyvalue = { default = \"sqlite\" }"),
            Self::Config => Some("config = {}"),
            Self::Files => Some("files = \"none\""),
            Self::Sockets => Some("sockets = \"none\""),
            Self::Clocks => Some("clocks = true"),
            Self::Random => Some("random = true"),
            Self::Signer => None,
        }
    }

    fn granted(self, grants: &Grants) -> bool {
        match self {
            Self::Http => grants.http.is_some(),
            Self::Keyvalue => !grants.keyvalue.is_empty(),
            Self::Config => grants.config.is_some(),
            Self::Files => grants.files.is_some(),
            Self::Sockets => grants.inert_sockets,
            Self::Clocks => !grants.no_clocks,
            Self::Random => !grants.no_random,
            Self::Signer => false,
        }
    }
}

/// What the import of this name takes. The name is an interface's, with or without a version.
pub(crate) fn needs(import: &str) -> Need {
    let (interface, version) = import.split_once('@').unwrap_or((import, ""));
    let Some((package, rest)) = interface.split_once('/') else { return Need::Unknown };
    let wasi = version.starts_with("0.2.") || version.starts_with("0.3.");
    match (package, rest) {
        ("wasi:http", "types") if wasi => Need::Nothing,
        ("wasi:http", "outgoing-handler" | "client") if wasi => Need::Grant(GrantKind::Http),
        ("wasi:io", _) | ("wasi:cli", _) if wasi => Need::Nothing,
        ("wasi:clocks", _) if wasi => Need::Grant(GrantKind::Clocks),
        ("wasi:random", _) if wasi => Need::Grant(GrantKind::Random),
        ("wasi:filesystem", _) if wasi => Need::Grant(GrantKind::Files),
        ("wasi:sockets", _) if wasi => Need::Grant(GrantKind::Sockets),
        ("wasi:keyvalue", "store" | "atomics" | "batch") if version == "0.2.0-draft2" => {
            Need::Grant(GrantKind::Keyvalue)
        }
        ("wasi:config", "store") if version == "0.2.0-rc.1" => Need::Grant(GrantKind::Config),
        ("tollgate:gate", "types") => Need::Nothing,
        ("tollgate:platform", "signer") => Need::Grant(GrantKind::Signer),
        _ => Need::Unknown,
    }
}

/// Whether these grants meet what an import takes.
pub(crate) fn granted(need: Need, grants: &Grants) -> bool {
    match need {
        Need::Nothing => true,
        Need::Grant(kind) => kind.granted(grants),
        Need::Unknown => false,
    }
}

/// A linker with what was granted and nothing else.
pub(crate) fn linker(engine: &Engine, grants: &Grants) -> wasmtime::Result<Linker<State>> {
    let mut linker = Linker::new(engine);
    let l = &mut linker;
    basics(l)?;
    if !grants.no_clocks {
        clocks(l)?;
    }
    if !grants.no_random {
        random(l)?;
    }
    if grants.http.is_some() {
        wasmtime_wasi_http::p2::bindings::http::outgoing_handler::add_to_linker::<_, WasiHttp>(
            l,
            State::http_outgoing,
        )?;
        wasmtime_wasi_http::p3::bindings::http::client::add_to_linker::<_, WasiHttp>(
            l,
            State::http_outgoing,
        )?;
    }
    if !grants.keyvalue.is_empty() {
        keyvalue(l)?;
    }
    if grants.config.is_some() {
        bindings::wasi::config::store::add_to_linker::<_, HasConfig>(l, State::config)?;
    }
    if grants.files.is_some() {
        files(l)?;
    }
    if grants.inert_sockets {
        sockets(l)?;
    }
    Ok(linker)
}

/// A linker for the audit component: its stores and the signer.
pub(crate) fn audit_linker(engine: &Engine) -> wasmtime::Result<Linker<State>> {
    let mut linker = gate_linker(engine)?;
    bindings::tollgate::platform::signer::add_to_linker::<_, HasSigner>(&mut linker, State::signer)?;
    Ok(linker)
}

/// A linker for gate components: stores, and the names of types.
pub(crate) fn gate_linker(engine: &Engine) -> wasmtime::Result<Linker<State>> {
    let mut linker = Linker::new(engine);
    keyvalue(&mut linker)?;
    // A composed gate imports this interface for its types alone.
    linker.instance("tollgate:gate/types@0.1.0")?;
    Ok(linker)
}

/// What every app has: streams, stdio to the log, an environment that is empty unless given, HTTP's types.
fn basics(l: &mut Linker<State>) -> wasmtime::Result<()> {
    use wasmtime_wasi::p2::bindings::{cli, io};
    io::error::add_to_linker::<_, HasIo>(l, State::io)?;
    io::poll::add_to_linker::<_, HasIo>(l, State::io)?;
    io::streams::add_to_linker::<_, HasIo>(l, State::io)?;
    cli::exit::add_to_linker::<_, WasiCli>(l, State::cli)?;
    cli::environment::add_to_linker::<_, WasiCli>(l, State::cli)?;
    cli::stdin::add_to_linker::<_, WasiCli>(l, State::cli)?;
    cli::stdout::add_to_linker::<_, WasiCli>(l, State::cli)?;
    cli::stderr::add_to_linker::<_, WasiCli>(l, State::cli)?;
    cli::terminal_input::add_to_linker::<_, WasiCli>(l, State::cli)?;
    cli::terminal_output::add_to_linker::<_, WasiCli>(l, State::cli)?;
    cli::terminal_stdin::add_to_linker::<_, WasiCli>(l, State::cli)?;
    cli::terminal_stdout::add_to_linker::<_, WasiCli>(l, State::cli)?;
    cli::terminal_stderr::add_to_linker::<_, WasiCli>(l, State::cli)?;
    let options = wasmtime_wasi_http::p2::bindings::http::types::LinkOptions::default();
    wasmtime_wasi_http::p2::bindings::http::types::add_to_linker::<_, WasiHttp>(
        l,
        &options,
        State::http_types,
    )?;
    wasmtime_wasi_http::p3::bindings::http::types::add_to_linker::<_, WasiHttp>(l, State::http_types)?;
    basics_of_p3(l)
}

fn basics_of_p3(l: &mut Linker<State>) -> wasmtime::Result<()> {
    use wasmtime_wasi::p3::bindings::cli;
    cli::exit::add_to_linker::<_, WasiCli>(l, State::cli)?;
    cli::environment::add_to_linker::<_, WasiCli>(l, State::cli)?;
    cli::stdin::add_to_linker::<_, WasiCli>(l, State::cli)?;
    cli::stdout::add_to_linker::<_, WasiCli>(l, State::cli)?;
    cli::stderr::add_to_linker::<_, WasiCli>(l, State::cli)?;
    cli::terminal_input::add_to_linker::<_, WasiCli>(l, State::cli)?;
    cli::terminal_output::add_to_linker::<_, WasiCli>(l, State::cli)?;
    cli::terminal_stdin::add_to_linker::<_, WasiCli>(l, State::cli)?;
    cli::terminal_stdout::add_to_linker::<_, WasiCli>(l, State::cli)?;
    cli::terminal_stderr::add_to_linker::<_, WasiCli>(l, State::cli)
}

fn clocks(l: &mut Linker<State>) -> wasmtime::Result<()> {
    use wasmtime_wasi::p2::bindings::clocks as p2;
    use wasmtime_wasi::p3::bindings::clocks as p3;
    p2::wall_clock::add_to_linker::<_, WasiClocks>(l, State::clocks)?;
    p2::monotonic_clock::add_to_linker::<_, WasiClocks>(l, State::clocks)?;
    p3::types::add_to_linker::<_, WasiClocks>(l, State::clocks)?;
    p3::monotonic_clock::add_to_linker::<_, WasiClocks>(l, State::clocks)?;
    p3::system_clock::add_to_linker::<_, WasiClocks>(l, State::clocks)
}

fn random(l: &mut Linker<State>) -> wasmtime::Result<()> {
    use wasmtime_wasi::p2::bindings::random as p2;
    use wasmtime_wasi::p3::bindings::random as p3;
    p2::random::add_to_linker::<_, WasiRandom>(l, State::random)?;
    p2::insecure::add_to_linker::<_, WasiRandom>(l, State::random)?;
    p2::insecure_seed::add_to_linker::<_, WasiRandom>(l, State::random)?;
    p3::random::add_to_linker::<_, WasiRandom>(l, State::random)?;
    p3::insecure::add_to_linker::<_, WasiRandom>(l, State::random)?;
    p3::insecure_seed::add_to_linker::<_, WasiRandom>(l, State::random)
}

fn keyvalue(l: &mut Linker<State>) -> wasmtime::Result<()> {
    use bindings::wasi::keyvalue::{atomics, batch, store};
    store::add_to_linker::<_, HasKeyvalue>(l, |state| state.keyvalue(Interface::KeyvalueStore))?;
    atomics::add_to_linker::<_, HasKeyvalue>(l, |state| state.keyvalue(Interface::KeyvalueAtomics))?;
    batch::add_to_linker::<_, HasKeyvalue>(l, |state| state.keyvalue(Interface::KeyvalueBatch))
}

fn files(l: &mut Linker<State>) -> wasmtime::Result<()> {
    use wasmtime_wasi::p2::bindings::filesystem as p2;
    use wasmtime_wasi::p3::bindings::filesystem as p3;
    p2::types::add_to_linker::<_, WasiFilesystem>(l, State::filesystem)?;
    p2::preopens::add_to_linker::<_, WasiFilesystem>(l, State::filesystem)?;
    p3::types::add_to_linker::<_, WasiFilesystem>(l, State::filesystem)?;
    p3::preopens::add_to_linker::<_, WasiFilesystem>(l, State::filesystem)?;
    no_directory_streams(l)
}

/// The engine's 0.3 listing of a directory blocks a thread of the host's for as long as the guest leaves it unread, and
/// a few hundred would stop everybody. Until it can be bounded, a 0.3 guest that lists a directory traps; 0.2 guests
/// list as ever.
fn no_directory_streams(l: &mut Linker<State>) -> wasmtime::Result<()> {
    l.allow_shadowing(true);
    let mut types = l.instance("wasi:filesystem/types@0.3.0")?;
    types.func_new_concurrent("[method]descriptor.read-directory", |_, _, _, _| {
        Box::pin(async { Err(wasmtime::format_err!("this host lists no directories for wasi 0.3")) })
    })?;
    l.allow_shadowing(false);
    Ok(())
}

fn sockets(l: &mut Linker<State>) -> wasmtime::Result<()> {
    use wasmtime_wasi::p2::bindings::sockets as p2;
    use wasmtime_wasi::p3::bindings::sockets as p3;
    p2::tcp::add_to_linker::<_, WasiSockets>(l, State::sockets)?;
    p2::udp::add_to_linker::<_, WasiSockets>(l, State::sockets)?;
    p2::udp_create_socket::add_to_linker::<_, WasiSockets>(l, State::sockets)?;
    p2::tcp_create_socket::add_to_linker::<_, WasiSockets>(l, State::sockets)?;
    p2::instance_network::add_to_linker::<_, WasiSockets>(l, State::sockets)?;
    p2::network::add_to_linker::<_, WasiSockets>(l, &p2::network::LinkOptions::default(), State::sockets)?;
    p2::ip_name_lookup::add_to_linker::<_, WasiSockets>(l, State::sockets)?;
    p3::types::add_to_linker::<_, WasiSockets>(l, State::sockets)?;
    p3::ip_name_lookup::add_to_linker::<_, WasiSockets>(l, State::sockets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_import_is_free_granted_or_unknown() {
        assert_eq!(needs("wasi:http/types@0.3.0"), Need::Nothing);
        assert_eq!(needs("wasi:http/outgoing-handler@0.2.6"), Need::Grant(GrantKind::Http));
        assert_eq!(needs("wasi:sockets/tcp@0.2.9"), Need::Grant(GrantKind::Sockets));
        assert_eq!(needs("wasi:sockets/tcp@0.9.0"), Need::Unknown);
        assert_eq!(needs("wasi:keyvalue/store@0.2.0-draft"), Need::Unknown);
        assert_eq!(needs("evil:thing/x@1.0.0"), Need::Unknown);
        assert_eq!(needs(""), Need::Unknown);
    }

    #[test]
    fn nothing_is_granted_by_default_but_clocks_and_random() {
        let grants = Grants::default();
        for (import, is) in [
            ("wasi:clocks/wall-clock@0.2.6", true),
            ("wasi:random/random@0.2.6", true),
            ("wasi:http/client@0.3.0", false),
            ("wasi:keyvalue/store@0.2.0-draft2", false),
            ("wasi:config/store@0.2.0-rc.1", false),
            ("wasi:filesystem/types@0.2.6", false),
            ("wasi:sockets/tcp@0.2.6", false),
            ("tollgate:platform/signer@0.1.0", false),
        ] {
            assert_eq!(granted(needs(import), &grants), is, "{import}");
        }
    }
}
