//! Which imports the worker meets, and which of their calls may have to wait.

use crate::site::App;
use tollgate_runtime::{Files, Grants, Inspection, Interface, Name};

/// An import of an app that the worker does not meet, or that nobody granted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("app `{app}` imports `{import}`: {reason}")]
pub struct NotMet {
    /// The app.
    pub app: Name,
    /// The import.
    pub import: String,
    /// Why it is not met, and what to do.
    pub reason: String,
}

/// What an import needs, besides that the worker has it.
#[derive(Clone, Copy)]
enum Needs {
    Nothing,
    Clocks,
    Config,
    Http,
    Keyvalue,
    Random,
}

/// Interfaces that the worker has: the start of their versions, and their calls that wait and so suspend the guest.
const MET: [(&str, &str, Needs, &[&str]); 32] = [
    ("wasi:cli/environment", "0.2.", Needs::Nothing, &[]),
    ("wasi:cli/exit", "0.2.", Needs::Nothing, &[]),
    ("wasi:cli/stderr", "0.2.", Needs::Nothing, &[]),
    ("wasi:cli/stdin", "0.2.", Needs::Nothing, &[]),
    ("wasi:cli/stdout", "0.2.", Needs::Nothing, &[]),
    ("wasi:cli/terminal-input", "0.2.", Needs::Nothing, &[]),
    ("wasi:cli/terminal-output", "0.2.", Needs::Nothing, &[]),
    ("wasi:cli/terminal-stderr", "0.2.", Needs::Nothing, &[]),
    ("wasi:cli/terminal-stdin", "0.2.", Needs::Nothing, &[]),
    ("wasi:cli/terminal-stdout", "0.2.", Needs::Nothing, &[]),
    ("wasi:clocks/monotonic-clock", "0.2.", Needs::Clocks, &[]),
    ("wasi:clocks/monotonic-clock", "0.3.0", Needs::Clocks, &["wait-for", "wait-until"]),
    ("wasi:clocks/system-clock", "0.3.0", Needs::Clocks, &[]),
    ("wasi:clocks/types", "0.3.0", Needs::Nothing, &[]),
    ("wasi:clocks/wall-clock", "0.2.", Needs::Clocks, &[]),
    ("wasi:config/store", "0.2.", Needs::Config, &[]),
    ("wasi:http/client", "0.3.0", Needs::Http, &["send"]),
    ("wasi:http/outgoing-handler", "0.2.", Needs::Http, &[]),
    ("wasi:http/types", "0.2.", Needs::Nothing, &[]),
    ("wasi:http/types", "0.3.0", Needs::Nothing, &[]),
    ("wasi:io/error", "0.2.", Needs::Nothing, &[]),
    ("wasi:io/poll", "0.2.", Needs::Nothing, &["poll", "[method]pollable.block"]),
    ("wasi:io/streams", "0.2.", Needs::Nothing, &STREAMS),
    ("wasi:keyvalue/atomics", "0.2.0-draft2", Needs::Keyvalue, &["[static]cas.new", "swap", "increment"]),
    ("wasi:keyvalue/batch", "0.2.0-draft2", Needs::Keyvalue, &["get-many", "set-many", "delete-many"]),
    ("wasi:keyvalue/store", "0.2.0-draft2", Needs::Keyvalue, &BUCKET),
    ("wasi:random/insecure", "0.2.", Needs::Random, &[]),
    ("wasi:random/insecure", "0.3.0", Needs::Random, &[]),
    ("wasi:random/insecure-seed", "0.2.", Needs::Random, &[]),
    ("wasi:random/insecure-seed", "0.3.0", Needs::Random, &[]),
    ("wasi:random/random", "0.2.", Needs::Random, &[]),
    ("wasi:random/random", "0.3.0", Needs::Random, &[]),
];

const STREAMS: [&str; 6] = [
    "[method]input-stream.blocking-read",
    "[method]input-stream.blocking-skip",
    "[method]output-stream.blocking-write-and-flush",
    "[method]output-stream.blocking-flush",
    "[method]output-stream.blocking-write-zeroes-and-flush",
    "[method]output-stream.blocking-splice",
];

const BUCKET: [&str; 5] = [
    "[method]bucket.get",
    "[method]bucket.set",
    "[method]bucket.delete",
    "[method]bucket.exists",
    "[method]bucket.list-keys",
];

/// The interfaces that the worker has, each with what its calls are priced as.
pub(crate) fn priced() -> impl Iterator<Item = (&'static str, Interface)> {
    MET.iter().map(|(interface, ..)| (*interface, price_class(interface)))
}

/// What a call of an interface is priced as: the same as on the server.
fn price_class(interface: &str) -> Interface {
    match interface.split_once('/').unwrap_or((interface, "")) {
        ("wasi:http", "types") => Interface::HttpTypes,
        ("wasi:http", _) => Interface::HttpOutgoing,
        ("wasi:io", _) => Interface::Io,
        ("wasi:clocks", _) => Interface::Clocks,
        ("wasi:random", _) => Interface::Random,
        ("wasi:keyvalue", "atomics") => Interface::KeyvalueAtomics,
        ("wasi:keyvalue", "batch") => Interface::KeyvalueBatch,
        ("wasi:keyvalue", _) => Interface::KeyvalueStore,
        ("wasi:config", _) => Interface::Config,
        _ => Interface::Cli,
    }
}

/// How an app is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Handler {
    /// `wasi:http/incoming-handler`, 0.2.
    Incoming,
    /// `wasi:http/handler`, 0.3.
    Handler,
}

impl Handler {
    /// The start of the export's name, up to the version line.
    pub(crate) fn export(self) -> &'static str {
        match self {
            Self::Incoming => "wasi:http/incoming-handler@0.2",
            Self::Handler => "wasi:http/handler@0.3",
        }
    }
}

/// The calls of a component that may suspend.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Calls {
    pub(crate) imports: Vec<String>,
    pub(crate) exports: Vec<String>,
}

/// Holds an app's imports against what the worker has and what the app was granted.
pub(crate) fn check(app: &App, inspection: &Inspection) -> Result<(Handler, Calls), NotMet> {
    let not_met =
        |import: &str, reason: String| NotMet { app: app.name.clone(), import: import.into(), reason };
    if let Some(Files::Directory { .. }) = app.grants.files {
        return Err(not_met(
            "wasi:filesystem",
            "this platform has no files: remove `files` from its grants".into(),
        ));
    }
    let mut calls = Calls::default();
    for import in &inspection.imports {
        let name = import.name.as_str();
        let (interface, version) = name.split_once('@').unwrap_or((name, ""));
        let known = MET.iter().find(|(met, line, ..)| *met == interface && version.starts_with(line));
        let Some((_, _, needs, waits)) = known else {
            return Err(not_met(name, "the Cloudflare adapter does not have it".into()));
        };
        if !needs.given(&app.grants) {
            let line = import.grant.map_or_else(String::new, |line| format!(": add `{line}` to its grants"));
            return Err(not_met(name, format!("it was not granted{line}")));
        }
        calls.imports.extend(waits.iter().map(|call| format!("{name}#{call}")));
    }
    let of_http = |line: &str| {
        inspection.imports.iter().any(|it| it.name.starts_with(&format!("wasi:http/types@{line}")))
    };
    if of_http("0.2.") && of_http("0.3.") {
        return Err(not_met(
            "wasi:http/types",
            "0.2 and 0.3 at once; here the two can't be told apart".into(),
        ));
    }
    let exports =
        |handler: Handler| inspection.exports.iter().find(|name| name.starts_with(handler.export()));
    let handler = [Handler::Incoming, Handler::Handler].into_iter().find_map(|h| Some((h, exports(h)?)));
    let Some((handler, export)) = handler else {
        let reason = "it exports neither `wasi:http/incoming-handler@0.2` nor `wasi:http/handler@0.3`";
        return Err(not_met("nothing that serves", reason.into()));
    };
    calls.exports.push(format!("{export}#handle"));
    Ok((handler, calls))
}

impl Needs {
    fn given(self, grants: &Grants) -> bool {
        match self {
            Self::Nothing => true,
            Self::Clocks => !grants.no_clocks,
            Self::Config => grants.config.is_some(),
            Self::Http => grants.http.is_some(),
            Self::Keyvalue => !grants.keyvalue.is_empty(),
            Self::Random => !grants.no_random,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tollgate_derive::Target;
    use tollgate_derive::report::offers;

    #[test]
    fn a_portability_report_promises_what_the_worker_has_and_nothing_more() {
        let offered = |import: &str| offers(Target::Cloudflare, import).is_enough();
        for (interface, line, ..) in MET {
            let version = if line.ends_with('.') { format!("{line}6") } else { line.to_owned() };
            assert!(offered(&format!("{interface}@{version}")), "{interface}@{version}");
        }
        for interface in MET.map(|(interface, ..)| interface) {
            for version in ["0.1.0", "0.2.6", "0.2.0-draft2", "0.3.0", "0.3.1", "0.4.0"] {
                let met = MET.iter().any(|(met, line, ..)| *met == interface && version.starts_with(line));
                assert_eq!(offered(&format!("{interface}@{version}")), met, "{interface}@{version}");
            }
        }
        for other in ["wasi:filesystem/types@0.2.6", "wasi:sockets/tcp@0.2.6", "wasi:cli/stdout@0.3.0"] {
            assert!(!offered(other), "{other}");
        }
    }

    #[test]
    fn every_call_is_priced_as_the_servers_is() {
        let class = |name| priced().find(|(interface, _)| *interface == name).map(|(_, class)| class);
        for (interface, priced_as) in [
            ("wasi:http/types", Interface::HttpTypes),
            ("wasi:http/client", Interface::HttpOutgoing),
            ("wasi:http/outgoing-handler", Interface::HttpOutgoing),
            ("wasi:io/streams", Interface::Io),
            ("wasi:cli/terminal-stdin", Interface::Cli),
            ("wasi:keyvalue/store", Interface::KeyvalueStore),
            ("wasi:keyvalue/atomics", Interface::KeyvalueAtomics),
            ("wasi:keyvalue/batch", Interface::KeyvalueBatch),
            ("wasi:config/store", Interface::Config),
        ] {
            assert_eq!(class(interface), Some(priced_as), "{interface}");
        }
    }
}
