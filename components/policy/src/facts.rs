//! What goes into the engine and what comes out: the records of the WIT package `tollgate:gate`, for native code.

/// What kind of caller an [`Actor`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActorKind {
    /// No known credential.
    Anonymous,
    /// A client that the tenant's configuration names.
    Client,
    /// The host itself.
    Host,
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// The configured name of a client; not read for the other kinds.
    pub id: String,
    /// What kind of caller this is.
    pub kind: ActorKind,
    /// The groups that the configuration puts this actor in, without the tenant's name.
    pub groups: Vec<String>,
}

/// What the engine may know of a request. The WIT record `facts` says what each field means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// When the request's head was complete: Unix nanoseconds.
    pub received_at: u64,
    /// The tenant's name.
    pub tenant: String,
    /// The app's name.
    pub app: String,
    /// The route's name.
    pub route: String,
    /// The blake3 digest of the app's component.
    pub component: String,
    /// The HTTP method as received.
    pub method: String,
    /// `http` or `https`.
    pub scheme: String,
    /// The host name asked for.
    pub host: String,
    /// The normalised path.
    pub path: String,
    /// What follows the `?`.
    pub query: Option<String>,
    /// The client's address without port.
    pub client_address: String,
    /// Who asks.
    pub actor: Actor,
    /// The headers shown to the gate: lower-case names.
    pub headers: Vec<(String, String)>,
    /// The announced length of the body in bytes.
    pub body_length: Option<u64>,
    /// The W3C trace id.
    pub trace_id: String,
}

/// What is behind a [`Verdict`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reasons {
    /// The ids of the policies that decided, sorted. Empty when nothing matched.
    pub policies: Vec<String>,
    /// What went wrong while rules were evaluated, in the order of the policies' ids.
    pub errors: Vec<String>,
}

/// The answer to one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may run: some permit matched, no forbid did, and nothing went wrong.
    Allow(Reasons),
    /// It may not.
    Deny(Reasons),
}

/// One thing wrong with a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// What is wrong, and what to do: one line.
    pub message: String,
    /// The id of the policy, or the entity, that is meant; none when the whole text is.
    pub place: Option<String>,
    /// Line from 1: of the Cedar text for anything about policies, of the JSON text for its syntax.
    pub line: Option<u32>,
}

impl Diagnostic {
    /// A diagnostic about the whole configuration. The message is made one line without a full stop.
    pub(crate) fn new(message: impl AsRef<str>) -> Self {
        let words: Vec<&str> = message.as_ref().split_whitespace().collect();
        let line = words.join(" ");
        Self { message: line.strip_suffix('.').unwrap_or(&line).to_owned(), place: None, line: None }
    }

    /// The same, about this policy or entity.
    pub(crate) fn at(mut self, place: impl Into<String>) -> Self {
        self.place = Some(place.into());
        self
    }

    /// The same, at this line.
    pub(crate) fn on(mut self, line: Option<u32>) -> Self {
        self.line = line;
        self
    }
}
