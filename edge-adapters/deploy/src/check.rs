//! Checks: requests whose answers are known, sent to one version.
//!
//! They are the deployer's own requests. What clients meet meanwhile is for the platform's figures to tell.

use crate::provider::Preview;
use crate::web::{Site, Web};
use bytes::Bytes;
use http::header::USER_AGENT;
use http::{Request, StatusCode};
use std::time::Duration;
use tokio::time::{Instant, sleep, sleep_until};

/// How long one check may take.
const WITHIN: Duration = Duration::from_secs(30);

/// How long it may take until a version that was shown answers everywhere.
const APPEARS_WITHIN: Duration = Duration::from_secs(30);

/// The pause before a version that has not appeared yet is asked again.
const AGAIN_AFTER: Duration = Duration::from_millis(250);

/// The pause between two rounds of checks.
const ROUND: Duration = Duration::from_secs(1);

/// Checks that must have been made before a rate means anything.
const FEW: u32 = 10;

/// A request, and what its answer must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// Where: a path that begins with `/`.
    pub path: String,
    /// Another place than the deployment's own, such as a second host name.
    pub site: Option<Site>,
    /// The status.
    pub status: StatusCode,
    /// A text that is in the body.
    pub body: Option<String>,
}

/// Checks that failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{failed} of {made} checks failed; the first: {first}")]
pub struct Failing {
    /// How many were made.
    pub made: u32,
    /// How many failed.
    pub failed: u32,
    /// What was wrong with the first that did.
    pub first: String,
}

/// What the checks are sent to.
pub(crate) struct Target<'a> {
    pub(crate) web: &'a dyn Web,
    pub(crate) site: &'a Site,
    pub(crate) checks: &'a [Check],
    /// How many in a hundred may fail while a version is watched.
    pub(crate) max_errors_percent: u8,
}

impl Target<'_> {
    /// Makes each check once. Each must pass.
    pub(crate) async fn smoke(&self, preview: &Preview) -> Result<u32, Failing> {
        let mut tally = Tally::default();
        for check in self.checks {
            tally.note(self.made(check, preview).await);
        }
        tally.verdict(0)
    }

    /// Makes all checks again and again for some time, at least once. Ends early once too many have failed.
    pub(crate) async fn watch(&self, preview: &Preview, hold: Duration) -> Result<u32, Failing> {
        let mut tally = Tally::default();
        let end = Instant::now() + hold;
        loop {
            let next = (Instant::now() + ROUND).min(end);
            for check in self.checks {
                tally.note(self.made(check, preview).await);
                if tally.made >= FEW || self.max_errors_percent == 0 {
                    tally.verdict(self.max_errors_percent)?;
                }
            }
            if Instant::now() >= end {
                return tally.verdict(self.max_errors_percent);
            }
            sleep_until(next).await;
        }
    }

    /// Makes a check; waits for the version to appear. What is wrong, if anything is.
    async fn made(&self, check: &Check, preview: &Preview) -> Result<(), String> {
        let end = Instant::now() + APPEARS_WITHIN;
        loop {
            match self.answer(check, preview).await {
                Answer::Of(result) => return result,
                Answer::OfAnother if Instant::now() < end => sleep(AGAIN_AFTER).await,
                Answer::OfAnother => {
                    let seconds = APPEARS_WITHIN.as_secs();
                    return Err(format!(
                        "GET {}: another version answers, after {seconds} s still",
                        check.path
                    ));
                }
            }
        }
    }

    async fn answer(&self, check: &Check, preview: &Preview) -> Answer {
        let Check { path, site, status, body } = check;
        let site = site.as_ref().unwrap_or(self.site);
        let wrong = |what: String| Answer::Of(Err(format!("GET {path}: {what}")));
        let mut request = Request::get(site.join(path)).header(USER_AGENT, "tollgate-check");
        if let Some(headers) = request.headers_mut() {
            headers.extend(preview.headers.clone());
        }
        let Ok(request) = request.body(Bytes::new()) else {
            return wrong("no request can be made of it".into());
        };
        let answer = match self.web.send(request, preview.at, WITHIN).await {
            Ok(answer) => answer,
            Err(error) => return wrong(error.to_string()),
        };
        if let Some((name, value)) = &preview.proof
            && answer.headers().get(name) != Some(value)
        {
            return Answer::OfAnother;
        }
        if answer.status() != *status {
            return wrong(format!("status {} in place of {}", answer.status().as_u16(), status.as_u16()));
        }
        let has =
            |text: &String| answer.body().windows(text.len().max(1)).any(|part| part == text.as_bytes());
        match body {
            Some(text) if !text.is_empty() && !has(text) => wrong(format!("the body has no `{text}`")),
            _ => Answer::Of(Ok(())),
        }
    }
}

enum Answer {
    /// The version's own: as it must be, or what is wrong.
    Of(Result<(), String>),
    /// Another version's.
    OfAnother,
}

#[derive(Default)]
struct Tally {
    made: u32,
    failed: u32,
    first: Option<String>,
}

impl Tally {
    fn note(&mut self, result: Result<(), String>) {
        self.made += 1;
        if let Err(wrong) = result {
            self.failed += 1;
            self.first.get_or_insert(wrong);
        }
    }

    /// How many were made, if no more than this part of them failed.
    fn verdict(&self, max_errors_percent: u8) -> Result<u32, Failing> {
        let few = u64::from(self.failed) * 100 <= u64::from(self.made) * u64::from(max_errors_percent);
        match &self.first {
            Some(first) if !few => {
                Err(Failing { made: self.made, failed: self.failed, first: first.clone() })
            }
            _ => Ok(self.made),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_of_all_that_were_made() {
        let mut tally = Tally::default();
        for made in 0..100 {
            tally.note(if made == 7 { Err("bad".into()) } else { Ok(()) });
        }
        assert_eq!(tally.verdict(1), Ok(100));
        assert_eq!(tally.verdict(0), Err(Failing { made: 100, failed: 1, first: "bad".into() }));
    }
}
