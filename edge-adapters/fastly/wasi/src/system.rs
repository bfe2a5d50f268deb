//! `wasi:cli`, `wasi:config`, `wasi:random` and the wall clock.

use crate::Wasi;
use crate::bindings::exports::wasi::cli::{
    environment, exit, stderr, stdin, stdout, terminal_input, terminal_output, terminal_stderr,
    terminal_stdin, terminal_stdout,
};
use crate::bindings::exports::wasi::clocks::wall_clock;
use crate::bindings::exports::wasi::config::store;
use crate::bindings::exports::wasi::io::streams::{InputStream, OutputStream};
use crate::bindings::exports::wasi::random::{insecure, insecure_seed, random};
use crate::lines::Stream;
use crate::run;
use crate::streams::{Input, Output};
use tollgate_fastly_platform::bindings::wasi::clocks::wall_clock as clock;
use tollgate_fastly_platform::bindings::wasi::random::random as chance;

/// There is none: standard streams are log lines.
pub(crate) struct Terminal;

impl environment::Guest for Wasi {
    fn get_environment() -> Vec<(String, String)> {
        run::environment()
    }

    fn get_arguments() -> Vec<String> {
        Vec::new()
    }

    fn initial_cwd() -> Option<String> {
        None
    }
}

impl exit::Guest for Wasi {
    /// Nothing but a trap ends an app here, and it ends the sandbox.
    fn exit(_: Result<(), ()>) {
        std::process::abort();
    }
}

impl stdin::Guest for Wasi {
    fn get_stdin() -> InputStream {
        InputStream::new(Input::Nothing)
    }
}

impl stdout::Guest for Wasi {
    fn get_stdout() -> OutputStream {
        OutputStream::new(Output::Lines(Stream::Stdout))
    }
}

impl stderr::Guest for Wasi {
    fn get_stderr() -> OutputStream {
        OutputStream::new(Output::Lines(Stream::Stderr))
    }
}

impl terminal_input::Guest for Wasi {
    type TerminalInput = Terminal;
}

impl terminal_input::GuestTerminalInput for Terminal {}

impl terminal_output::Guest for Wasi {
    type TerminalOutput = Terminal;
}

impl terminal_output::GuestTerminalOutput for Terminal {}

impl terminal_stdin::Guest for Wasi {
    fn get_terminal_stdin() -> Option<terminal_stdin::TerminalInput> {
        None
    }
}

impl terminal_stdout::Guest for Wasi {
    fn get_terminal_stdout() -> Option<terminal_stdout::TerminalOutput> {
        None
    }
}

impl terminal_stderr::Guest for Wasi {
    fn get_terminal_stderr() -> Option<terminal_stderr::TerminalOutput> {
        None
    }
}

impl wall_clock::Guest for Wasi {
    fn now() -> wall_clock::Datetime {
        shown(clock::now())
    }

    fn resolution() -> wall_clock::Datetime {
        shown(clock::resolution())
    }
}

fn shown(time: clock::Datetime) -> wall_clock::Datetime {
    wall_clock::Datetime { seconds: time.seconds, nanoseconds: time.nanoseconds }
}

impl store::Guest for Wasi {
    fn get(key: String) -> Result<Option<String>, store::Error> {
        Ok(run::config().into_iter().find(|(name, _)| *name == key).map(|(_, value)| value))
    }

    fn get_all() -> Result<Vec<(String, String)>, store::Error> {
        Ok(run::config())
    }
}

impl random::Guest for Wasi {
    fn get_random_bytes(len: u64) -> Vec<u8> {
        chance::get_random_bytes(len)
    }

    fn get_random_u64() -> u64 {
        chance::get_random_u64()
    }
}

impl insecure::Guest for Wasi {
    fn get_insecure_random_bytes(len: u64) -> Vec<u8> {
        chance::get_random_bytes(len)
    }

    fn get_insecure_random_u64() -> u64 {
        chance::get_random_u64()
    }
}

impl insecure_seed::Guest for Wasi {
    fn insecure_seed() -> (u64, u64) {
        (chance::get_random_u64(), chance::get_random_u64())
    }
}
