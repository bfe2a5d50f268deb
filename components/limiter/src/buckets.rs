//! The configured buckets, checked.

use std::collections::BTreeSet;

use crate::gcra::{Rate, WINDOW_MAX, WINDOW_MIN};
use crate::{Bucket, Diagnostic};

/// The longest name of a bucket, bytes.
const NAME_BYTES_MAX: usize = 64;

/// Every bucket by name.
#[derive(Debug, Default)]
pub(crate) struct Buckets(Vec<(String, Rate)>);

impl Buckets {
    pub(crate) fn check(buckets: Vec<Bucket>) -> Result<Self, Vec<Diagnostic>> {
        let mut wrong = Vec::new();
        let mut names = BTreeSet::new();
        for bucket in &buckets {
            let mut say = |message: String| {
                wrong.push(Diagnostic { message, place: Some(bucket.name.clone()), line: None });
            };
            if !is_name(&bucket.name) {
                say(format!(
                    "the bucket name `{}` must be 1 to {NAME_BYTES_MAX} lower-case letters, digits and dashes",
                    bucket.name.escape_default()
                ));
            }
            if !names.insert(bucket.name.as_str()) {
                say(format!("the bucket `{}` is there twice: remove one or rename it", bucket.name));
            }
            if bucket.quota == 0 {
                say(format!("the bucket `{}` has a quota of 0: it must be at least 1", bucket.name));
            }
            if !(WINDOW_MIN..=WINDOW_MAX).contains(&bucket.window) {
                say(format!(
                    "the bucket `{}` has a window of {} ns: it must be between 1 ms and 366 days",
                    bucket.name, bucket.window
                ));
            }
        }
        if !wrong.is_empty() {
            return Err(wrong);
        }
        let rate = |bucket: &Bucket| Rate { quota: bucket.quota, window: bucket.window };
        let mut checked: Vec<_> = buckets.into_iter().map(|bucket| (rate(&bucket), bucket.name)).collect();
        checked.sort_unstable_by(|(_, a), (_, b)| a.cmp(b));
        Ok(Self(checked.into_iter().map(|(rate, name)| (name, rate)).collect()))
    }

    pub(crate) fn rate(&self, name: &str) -> Option<Rate> {
        let place = self.0.binary_search_by(|(known, _)| known.as_str().cmp(name)).ok()?;
        self.0.get(place).map(|(_, rate)| *rate)
    }
}

fn is_name(name: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}
