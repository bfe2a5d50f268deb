//! A policy engine and a limiter that do as they are told.

use crate::{
    Adjustment, Bucket, Charge, Diagnostic, Facts, Limited, Limiter, Policy, RateStatus, Reasons, TakeError,
    Verdict,
};

#[derive(Debug)]
pub(super) struct Engine {
    pub(super) verdict: Verdict,
    pub(super) refuses: bool,
    pub(super) configured: u32,
}

impl Default for Engine {
    fn default() -> Self {
        let verdict = Verdict::Allow(Reasons { policies: vec!["everyone".into()], errors: vec![] });
        Self { verdict, refuses: false, configured: 0 }
    }
}

impl Policy for Engine {
    fn configure(&mut self, config: &[u8]) -> Result<(), Vec<Diagnostic>> {
        assert_eq!(config, b"permit all");
        if self.refuses {
            return Err(vec![diagnostic("unexpected token")]);
        }
        self.configured += 1;
        Ok(())
    }

    fn decide(&mut self, _: &Facts) -> Verdict {
        self.verdict.clone()
    }
}

/// Never runs out by itself.
#[derive(Debug, Default)]
pub(super) struct Meter {
    buckets: Vec<Bucket>,
    /// The stores of all calls to `configure`, refused ones too.
    pub(super) configured: Vec<String>,
    /// A store that it does not accept.
    pub(super) refuses: Option<String>,
    /// A bucket that is empty.
    pub(super) empty: Option<String>,
    pub(super) fails: Option<TakeError>,
    pub(super) renames: bool,
    pub(super) settle_fails: Option<String>,
    pub(super) taken: Vec<Charge>,
    pub(super) now: u64,
    pub(super) settled: Vec<Adjustment>,
}

impl Limiter for Meter {
    fn configure(&mut self, buckets: &[Bucket], store: &str) -> Result<(), Vec<Diagnostic>> {
        self.configured.push(store.into());
        if self.refuses.as_deref() == Some(store) {
            return Err(vec![diagnostic("no such store")]);
        }
        self.buckets = buckets.into();
        Ok(())
    }

    fn take(&mut self, charges: &[Charge], now: u64) -> Result<Vec<RateStatus>, TakeError> {
        if let Some(error) = self.fails.take() {
            return Err(error);
        }
        self.now = now;
        self.taken.extend_from_slice(charges);
        let status = |charge: &Charge| {
            let quota = self.buckets.iter().find(|bucket| bucket.name == charge.bucket).unwrap().quota;
            let bucket = if self.renames { "other".into() } else { charge.bucket.clone() };
            let remaining = if self.empty.as_ref() == Some(&charge.bucket) { 0 } else { quota - charge.cost };
            RateStatus { bucket, remaining, reset_after: 1_500_000_000 }
        };
        let statuses = charges.iter().map(status).collect();
        match self.empty.clone() {
            Some(bucket) => {
                Err(TakeError::Limited(Limited { bucket, retry_after: 18_000_000_001, statuses }))
            }
            None => Ok(statuses),
        }
    }

    fn settle(&mut self, adjustments: &[Adjustment], _: u64) -> Result<(), String> {
        self.settled.extend_from_slice(adjustments);
        self.settle_fails.take().map_or(Ok(()), Err)
    }
}

fn diagnostic(message: &str) -> Diagnostic {
    Diagnostic { message: message.into(), place: None, line: None }
}
