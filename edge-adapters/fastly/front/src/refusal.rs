//! Why a request does not reach its origin, for the client and for the record.

use crate::bindings::tollgate::gate::admission::{Charge, Refusal};
use crate::bindings::tollgate::gate::types::Outcome;
use tollgate_request::End;

/// How much of what a policy engine says goes into a record.
const POLICIES_MOST: usize = 64;
const REASONS_MOST: usize = 8;
const TEXT_BYTES_MOST: usize = 512;

/// A refused request: what its client is told, and what is recorded.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) end: End,
    pub(crate) outcome: Outcome,
    pub(crate) policies: Vec<String>,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) metadata: Vec<(String, String)>,
    /// What was asked for of a limit, and the limit.
    pub(crate) limits: Vec<(String, u64, u64)>,
    pub(crate) charges: Vec<Charge>,
}

impl From<End> for Refused {
    fn from(end: End) -> Self {
        Self {
            end,
            outcome: Outcome::Refused(end.code().to_owned()),
            policies: Vec::new(),
            headers: Vec::new(),
            metadata: Vec::new(),
            limits: Vec::new(),
            charges: Vec::new(),
        }
    }
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Denied(denied) => {
                let errors = denied.errors.into_iter().take(REASONS_MOST);
                Self {
                    outcome: Outcome::Denied,
                    policies: few(denied.policies),
                    metadata: errors.map(|error| ("policy-error".to_owned(), short(error))).collect(),
                    ..End::Denied.into()
                }
            }
            Refusal::Limited(limited) => Self {
                outcome: Outcome::Limited,
                policies: few(limited.policies),
                headers: limited.headers,
                metadata: vec![("bucket".to_owned(), limited.bucket)],
                ..End::Limited.into()
            },
            Refusal::Failed(reason) => Self::failed(reason),
        }
    }
}

impl Refused {
    /// The gate could not decide. The reason is for the record.
    pub(crate) fn failed(reason: String) -> Self {
        Self { metadata: vec![("gate-error".to_owned(), short(reason))], ..End::GateFailed.into() }
    }
}

/// As many ids of policies as a record has room for: a tenant's own engine may say anything.
pub(crate) fn few(policies: Vec<String>) -> Vec<String> {
    policies.into_iter().take(POLICIES_MOST).map(short).collect()
}

fn short(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(TEXT_BYTES_MOST));
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bindings::tollgate::gate::admission::{Denied, RefusedRate};

    #[test]
    fn each_refusal_is_told_as_the_server_tells_it() {
        let denied = Denied { policies: vec!["p".into(); 100], errors: vec!["ä".repeat(400); 100] };
        let limited = RefusedRate {
            bucket: "burst".into(),
            retry_after: 1,
            policies: Vec::new(),
            headers: vec![("retry-after".into(), "1".into())],
        };
        for (refusal, status, outcome, metadata) in [
            (Refusal::Denied(denied), 403, Outcome::Denied, REASONS_MOST),
            (Refusal::Limited(limited), 429, Outcome::Limited, 1),
            (Refusal::Failed("inside".into()), 503, Outcome::Refused("gate-failed".into()), 1),
        ] {
            let refused = Refused::from(refusal);
            let response = refused.end.response("id");
            assert_eq!(response.status(), status);
            assert!(!String::from_utf8_lossy(response.body()).contains("inside"));
            assert_eq!(format!("{:?}", refused.outcome), format!("{outcome:?}"));
            assert_eq!(refused.metadata.len(), metadata);
            assert!(refused.policies.len() <= POLICIES_MOST);
            assert!(refused.metadata.iter().all(|(_, text)| text.len() <= TEXT_BYTES_MOST));
        }
    }
}
