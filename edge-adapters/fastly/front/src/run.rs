//! An app in the service itself: what it is called with, and what has become of it.

use crate::bindings::tollgate::fastly::apps;
use crate::bindings::tollgate::fastly::runs::{self, Ended, Fault, Head, Terms};
use crate::bindings::tollgate::gate::admission::Permit;
use crate::bindings::tollgate::gate::types::Outcome;
use crate::line::{Exchange, Taken};
use crate::settings::Component;
use http::request::Parts;
use std::collections::BTreeMap;
use tollgate_fastly_platform::{Body, Failure};
use tollgate_request::{Blame, End};

impl Exchange {
    /// Calls the app. Gives back whether it failed, so that its instance is not used again.
    pub(crate) fn call(
        &self,
        app: &Component,
        permit: &Permit,
        parts: Parts,
        body: Body,
    ) -> Result<bool, Failure> {
        runs::begin(&head(&parts), body, &self.terms(app, permit));
        apps::handle(app.number);
        let ended = runs::end();
        let taken = Taken {
            bytes_in: ended.bytes_in,
            bytes_out: ended.bytes_out,
            limits: vec![
                ("outgoing-requests".to_owned(), ended.outgoing_requests, app.outgoing_requests),
                ("log-lines".to_owned(), ended.log_lines, app.log_lines),
            ],
        };
        let (outcome, end) = outcome(&ended);
        let failed = end.is_some();
        match end {
            Some(end) if !ended.head_sent => self.fail(end, permit, &taken)?,
            _ => self.settle(self.ending(outcome, permit, &taken))?,
        }
        runs::release().map_err(|()| Failure::new("the response can't be ended"))?;
        Ok(failed)
    }

    fn terms(&self, app: &Component, permit: &Permit) -> Terms {
        let route = &self.entry.route;
        let pairs = |map: &BTreeMap<String, String>| {
            map.iter().map(|(name, value)| (name.clone(), value.clone())).collect()
        };
        Terms {
            app: format!("{}/{}", self.entry.tenant.name, route.app),
            request_id: self.facts.request_id.clone(),
            headers: permit.headers.clone(),
            origins: pairs(&app.origins),
            environment: pairs(&app.environment),
            config: pairs(&app.config),
            output: self.output.to_string(),
            request_body_bytes: route.request_body_bytes,
            response_body_bytes: route.response_body_bytes,
            outgoing_requests: app.outgoing_requests,
            header_bytes: app.header_bytes,
            log_lines: app.log_lines,
            log_line_bytes: app.log_line_bytes,
        }
    }
}

fn head(parts: &Parts) -> Head {
    let headers = parts.headers.iter();
    Head {
        method: parts.method.as_str().to_owned(),
        scheme: parts.uri.scheme_str().unwrap_or("http").to_owned(),
        authority: parts.uri.authority().map_or_else(String::new, ToString::to_string),
        path_with_query: parts.uri.path_and_query().map_or_else(|| "/".to_owned(), ToString::to_string),
        headers: headers.map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec())).collect(),
    }
}

/// What the record says of a run, and what is said in place of its answer.
fn outcome(ended: &Ended) -> (Outcome, Option<End>) {
    let code = match ended.outcome {
        runs::Outcome::Answered(status) => return (Outcome::Answered(status), None),
        runs::Outcome::Abandoned => return (Outcome::Abandoned, None),
        runs::Outcome::Failed(Fault::NoResponse) => "no-response",
        runs::Outcome::Failed(Fault::ErrorCode) => "error-code",
        runs::Outcome::Failed(Fault::BadResponse) => "bad-response",
        runs::Outcome::Failed(Fault::ResponseTooLarge) => "response-too-large",
        // As the server calls a guest that gives up a body.
        runs::Outcome::Failed(Fault::Unfinished) => "trap",
    };
    (Outcome::Failed(code.to_owned()), Some(End::Failed(code, Blame::App)))
}
