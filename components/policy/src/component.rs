//! The component's shell: converts between the WIT's types and the engine's.

use crate::{Actor, ActorKind, Engine, Facts, Reasons, Verdict};
use std::cell::RefCell;

#[allow(
    missing_docs,
    unreachable_pub,
    unsafe_code,
    clippy::all,
    reason = "written by wit-bindgen; the canonical ABI is unsafe by nature"
)]
mod bindings {
    wit_bindgen::generate!({
        world: "tollgate:gate/policy-engine",
        path: ["../../wit/deps/keyvalue", "../../wit/platform", "../../wit/gate"],
    });
    export!(Component with_types_in self);
    use super::Component;
}

use bindings::exports::tollgate::gate::policy as wit;
use bindings::tollgate::gate::types;

thread_local! {
    // A component has one thread.
    static ENGINE: RefCell<Engine> = const { RefCell::new(Engine::new()) };
}

struct Component;

impl wit::Guest for Component {
    fn configure(config: Vec<u8>) -> Result<(), Vec<types::Diagnostic>> {
        ENGINE.with_borrow_mut(|engine| engine.configure(&config)).map_err(|problems| {
            let to_wit =
                |d: crate::Diagnostic| types::Diagnostic { message: d.message, place: d.place, line: d.line };
            problems.into_iter().map(to_wit).collect()
        })
    }

    fn decide(facts: types::Facts) -> wit::Verdict {
        let to_wit = |reasons: Reasons| wit::Reasons { policies: reasons.policies, errors: reasons.errors };
        match ENGINE.with_borrow(|engine| engine.decide(&facts.into())) {
            Verdict::Allow(reasons) => wit::Verdict::Allow(to_wit(reasons)),
            Verdict::Deny(reasons) => wit::Verdict::Deny(to_wit(reasons)),
        }
    }
}

impl From<types::Facts> for Facts {
    fn from(facts: types::Facts) -> Self {
        Self {
            received_at: facts.received_at,
            tenant: facts.tenant,
            app: facts.app,
            route: facts.route,
            component: facts.component,
            method: facts.method,
            scheme: facts.scheme,
            host: facts.host,
            path: facts.path,
            query: facts.query,
            client_address: facts.client_address,
            actor: Actor {
                id: facts.actor.id,
                kind: match facts.actor.kind {
                    types::ActorKind::Anonymous => ActorKind::Anonymous,
                    types::ActorKind::Client => ActorKind::Client,
                    types::ActorKind::Host => ActorKind::Host,
                },
                groups: facts.actor.groups,
            },
            headers: facts.headers,
            body_length: facts.body_length,
            trace_id: facts.trace_id,
        }
    }
}
