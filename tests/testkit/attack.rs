//! Attacks: what a guest or client does, and what must come of it.

use crate::files::guest;
use crate::log::Record;
use crate::raw::{Reply, Sending};

/// What a client must get.
#[derive(Debug, Clone, Copy)]
pub enum Want {
    /// A problem document of this status and code.
    Problem(u16, &'static str),
    /// A whole response of this status.
    Whole(u16),
    /// A head of status 200, and a body that visibly is not whole.
    Cut,
    /// Any answer but a fault of the host's, a hang or silence; for where several are right.
    Anything,
}

/// What is there to look at after an attack.
pub struct Evidence<'a> {
    pub replies: &'a [Reply],
    pub records: &'a [Record],
    pub stderr: &'a str,
    /// Requests that the attacker's server got.
    pub upstream: u64,
}

pub(crate) type Look = fn(&Evidence<'_>) -> Result<(), String>;

/// One attack: an app that does one hostile thing, and what must come of it.
#[derive(Clone)]
pub struct Attack {
    /// The name of the app, too.
    pub name: &'static str,
    pub(crate) guest: &'static str,
    pub(crate) target: &'static str,
    pub(crate) method: &'static str,
    pub(crate) sending: Sending,
    pub(crate) limits: &'static str,
    pub(crate) grants: &'static str,
    pub(crate) want: Want,
    pub(crate) outcomes: Vec<String>,
    pub(crate) figure: Option<&'static str>,
    pub(crate) look: Option<Look>,
}

impl Attack {
    pub fn new(name: &'static str, guest: &'static str, want: Want) -> Self {
        let outcomes = match want {
            Want::Problem(_, "app-refused") => vec!["refused:app-refused".into()],
            Want::Problem(_, code) => vec![format!("failed:{code}")],
            Want::Whole(status) => vec![format!("answered:{status}")],
            Want::Cut | Want::Anything => Vec::new(),
        };
        Self {
            name,
            guest,
            target: "/",
            method: "GET",
            sending: Sending::Nothing,
            limits: "",
            grants: "",
            want,
            outcomes,
            figure: None,
            look: None,
        }
    }
    /// Path and query; `ORIGIN` stands for the attacker's own server.
    pub fn target(self, target: &'static str) -> Self {
        Self { target, ..self }
    }
    pub fn method(self, method: &'static str) -> Self {
        Self { method, ..self }
    }
    pub fn sending(self, sending: Sending) -> Self {
        Self { sending, method: "POST", ..self }
    }
    /// Limits of its own, as the inside of a table in one line.
    pub fn limits(self, limits: &'static str) -> Self {
        Self { limits, ..self }
    }
    pub fn grants(self, grants: &'static str) -> Self {
        Self { grants, ..self }
    }
    /// The record says one of these.
    pub fn outcomes(self, outcomes: &[&str]) -> Self {
        Self { outcomes: outcomes.iter().map(|outcome| (*outcome).to_owned()).collect(), ..self }
    }
    /// The record says what was used of this limit, and what it was.
    pub fn figure(self, name: &'static str) -> Self {
        Self { figure: Some(name), ..self }
    }
    pub fn look(self, look: Look) -> Self {
        Self { look: Some(look), ..self }
    }
    /// Whether its guest is of a world that an instance can have several requests in.
    pub fn can_share(&self) -> bool {
        let bytes = std::fs::read(guest(self.guest)).unwrap();
        let export = b"wasi:http/handler@0.3";
        bytes.windows(export.len()).any(|window| window == export)
    }
    pub(crate) fn host(&self) -> String {
        format!("{}.evil.test", self.name)
    }
}
