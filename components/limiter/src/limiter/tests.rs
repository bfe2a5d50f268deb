mod interleaved;
mod memory;

use memory::{Memory, bucket, charge};

use super::*;
use crate::Unit;

const SECOND: u64 = 1_000_000_000;
const NOW: u64 = 1_700_000_000 * SECOND;

/// `few` has 3 a minute, `many` 100 a minute, `gas` 1,000 a minute.
fn limiter() -> Limiter {
    let gas = Bucket { unit: Unit::Gas, ..bucket("gas", 1000, 60 * SECOND) };
    Limiter::new(vec![bucket("few", 3, 60 * SECOND), bucket("many", 100, 60 * SECOND), gas]).unwrap()
}

fn remaining(store: &mut Memory, name: &str, now: u64) -> u64 {
    let statuses = limiter().take(store, &[charge(name, "acme", 0)], now);
    match statuses {
        Ok(statuses) => statuses[0].remaining,
        Err(TakeError::Limited(limited)) => limited.statuses[0].remaining,
        Err(error) => panic!("{error:?}"),
    }
}

fn refused(result: Result<Vec<RateStatus>, TakeError>) -> Limited {
    match result {
        Err(TakeError::Limited(limited)) => limited,
        other => panic!("not limited: {other:?}"),
    }
}

fn store_error(result: Result<Vec<RateStatus>, TakeError>) -> String {
    match result {
        Err(TakeError::Store(text)) => text,
        other => panic!("no store error: {other:?}"),
    }
}

#[test]
fn a_take_draws_on_every_bucket_and_tells_how_each_stands() {
    let mut store = Memory::default();
    let statuses =
        limiter().take(&mut store, &[charge("few", "acme", 1), charge("many", "acme", 5)], NOW).unwrap();
    let status =
        |name: &str, remaining, reset_after| RateStatus { bucket: name.into(), remaining, reset_after };
    assert_eq!(statuses, [status("few", 2, 20 * SECOND), status("many", 95, 600_000_000)]);
    assert_eq!(store.keys(), ["few/acme", "many/acme"]);
}

#[test]
fn a_refused_take_leaves_every_bucket_as_it_was() {
    let mut store = Memory::default();
    limiter().take(&mut store, &[charge("few", "acme", 2), charge("many", "acme", 1)], NOW).unwrap();
    let before = store.clone();
    let limited = refused(limiter().take(
        &mut store,
        &[charge("many", "acme", 1), charge("few", "acme", 2)],
        NOW + SECOND,
    ));
    assert_eq!(limited.bucket, "few");
    assert_eq!(limited.retry_after, 19 * SECOND);
    assert_eq!(limited.statuses.iter().map(|status| status.remaining).collect::<Vec<_>>(), [100, 1]);
    assert_eq!(store, before);
}

#[test]
fn the_bucket_that_takes_longest_is_named() {
    let mut store = Memory::default();
    let all = [charge("many", "acme", 100), charge("few", "acme", 3), charge("gas", "acme", 1000)];
    limiter().take(&mut store, &all, NOW).unwrap();
    let one_each = [charge("many", "acme", 1), charge("few", "acme", 1), charge("gas", "acme", 1)];
    let limited = refused(limiter().take(&mut store, &one_each, NOW));
    assert_eq!((limited.bucket.as_str(), limited.retry_after), ("few", 20 * SECOND));
}

#[test]
fn more_than_the_quota_never_succeeds() {
    let limited = refused(limiter().take(&mut Memory::default(), &[charge("few", "acme", 4)], NOW));
    assert_eq!(limited.retry_after, u64::MAX);
    assert_eq!(limited.statuses[0].remaining, 3);
}

#[test]
fn charges_to_one_counter_are_added_up() {
    let mut store = Memory::default();
    let twice = [charge("few", "acme", 1), charge("few", "acme", 2), charge("few", "other", 1)];
    let statuses = limiter().take(&mut store, &twice, NOW).unwrap();
    assert_eq!(statuses.iter().map(|status| status.remaining).collect::<Vec<_>>(), [0, 2]);
    let most = [charge("few", "new", u64::MAX), charge("few", "new", u64::MAX)];
    assert_eq!(refused(limiter().take(&mut store, &most, NOW)).retry_after, u64::MAX);
}

#[test]
fn a_charge_that_cannot_be_counted_is_an_error_and_takes_nothing() {
    let mut store = Memory::default();
    let unknown = limiter().take(&mut store, &[charge("few", "acme", 1), charge("fwe", "acme", 1)], NOW);
    assert_eq!(unknown, Err(TakeError::UnknownBucket("fwe".into())));
    let long = limiter().take(&mut store, &[charge("few", &"x".repeat(1025), 1)], NOW);
    assert_eq!(store_error(long), "a key of the bucket `few` has 1025 bytes: at most 1024 are allowed");
    assert!(store.keys().is_empty());
    limiter().take(&mut store, &[charge("few", &"x".repeat(1024), 1)], NOW).unwrap();
}

#[test]
fn a_value_that_cannot_be_read_denies_until_it_is_removed() {
    let mut store = Memory::default();
    for (value, why) in [
        (vec![], "has 0 bytes where a counter has 41"),
        (vec![2; 41], "has version 2, this limiter knows 1"),
        (vec![1; 40], "has 40 bytes where a counter has 41"),
        (vec![1; 41], "contradicts itself"),
    ] {
        store.set("few/acme", &value);
        let text = store_error(limiter().take(&mut store, &[charge("few", "acme", 1)], NOW));
        assert_eq!(text, format!("the counter `few/acme` {why}: remove it from the store to count anew"));
    }
}

#[test]
fn a_counter_that_always_moves_is_contended_and_the_others_get_theirs_back() {
    let mut store = Memory { moves: Some("many/acme".into()), ..Memory::default() };
    let text =
        store_error(limiter().take(&mut store, &[charge("few", "acme", 2), charge("many", "acme", 1)], NOW));
    assert_eq!(text, "contended: the counter `many/acme` moved 64 times in a row");
    assert_eq!(remaining(&mut store, "few", NOW), 3);
}

#[test]
fn a_store_that_fails_half_way_gets_back_what_was_taken() {
    let mut store = Memory { fails: Some("many/acme".into()), ..Memory::default() };
    let text =
        store_error(limiter().take(&mut store, &[charge("few", "acme", 2), charge("many", "acme", 1)], NOW));
    assert_eq!(text, "the disk is full");
    assert_eq!(remaining(&mut store, "few", NOW), 3);
}

#[test]
fn settling_gives_back_exactly_what_was_not_used() {
    let mut store = Memory::default();
    let reserve = charge("gas", "acme", 600);
    limiter().take(&mut store, std::slice::from_ref(&reserve), NOW).unwrap();
    limiter().settle(&mut store, &[Adjustment { charge: reserve, actual: 17 }], NOW).unwrap();
    assert_eq!(remaining(&mut store, "gas", NOW), 983);
}

#[test]
fn settling_more_than_the_reserve_leads_below_zero() {
    let mut store = Memory::default();
    let reserve = charge("gas", "acme", 600);
    limiter().take(&mut store, std::slice::from_ref(&reserve), NOW).unwrap();
    limiter().settle(&mut store, &[Adjustment { charge: reserve, actual: 2000 }], NOW).unwrap();
    assert_eq!(remaining(&mut store, "gas", NOW + 59 * SECOND), 0);
    assert_eq!(remaining(&mut store, "gas", NOW + 60 * SECOND + 60_000_000), 1);
}

#[test]
fn one_adjustment_that_fails_does_not_keep_the_others() {
    let mut store = Memory::default();
    let reserve = charge("gas", "acme", 600);
    limiter().take(&mut store, std::slice::from_ref(&reserve), NOW).unwrap();
    let gone = Adjustment { charge: charge("gone", "acme", 1), actual: 0 };
    let settled = limiter().settle(&mut store, &[gone, Adjustment { charge: reserve, actual: 0 }], NOW);
    assert_eq!(settled, Err("the bucket `gone` is not configured".into()));
    assert_eq!(remaining(&mut store, "gas", NOW), 1000);
}

#[test]
fn the_bucket_and_the_key_cannot_be_confused() {
    let limiter = Limiter::new(vec![bucket("a", 1, SECOND), bucket("a-b", 1, SECOND)]).unwrap();
    let mut store = Memory::default();
    limiter
        .take(&mut store, &[charge("a", "b/c", 1), charge("a-b", "c", 1), charge("a", "b-c", 1)], NOW)
        .unwrap();
    assert_eq!(store.keys().len(), 3);
}

#[test]
fn wrong_buckets_are_refused_each_by_name() {
    let buckets = vec![
        bucket("fine", 1, SECOND),
        bucket("fine", 1, SECOND),
        bucket("none", 0, SECOND),
        bucket("Burst\n", 1, SECOND),
        bucket("quick", 1, 999_999),
        bucket("slow", 1, 366 * 86_400 * SECOND + 1),
    ];
    let wrong = Limiter::new(buckets).unwrap_err();
    let wrong: Vec<_> =
        wrong.iter().map(|one| (one.place.as_deref().unwrap(), one.message.as_str())).collect();
    assert_eq!(
        wrong,
        [
            ("fine", "the bucket `fine` is there twice: remove one or rename it"),
            ("none", "the bucket `none` has a quota of 0: it must be at least 1"),
            ("Burst\n", "the bucket name `Burst\\n` must be 1 to 64 lower-case letters, digits and dashes"),
            ("quick", "the bucket `quick` has a window of 999999 ns: it must be between 1 ms and 366 days"),
            (
                "slow",
                "the bucket `slow` has a window of 31622400000000001 ns: it must be between 1 ms and 366 days"
            ),
        ]
    );
}
