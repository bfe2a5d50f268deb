use proptest::prelude::*;

use super::*;

const SECOND: u64 = 1_000_000_000;

/// A bucket as a level of units that refills, in fractions of `1 / window` unit: another formulation of the same
/// rule, with nothing in common with the code but the quota and the window.
struct Exact {
    rate: Rate,
    level: u128,
    at: u64,
}

impl Exact {
    fn full(rate: Rate) -> Self {
        Self { rate, level: rate.capacity(), at: 0 }
    }

    fn refill(&mut self, now: u64) {
        let gained = u128::from(now - self.at) * u128::from(self.rate.quota);
        self.level = (self.level + gained).min(u128::from(self.rate.quota) * u128::from(self.rate.window));
        self.at = now;
    }

    fn take(&mut self, cost: u64, now: u64) -> bool {
        self.refill(now);
        let left = self.level.checked_sub(u128::from(cost) * u128::from(self.rate.window));
        self.level = left.unwrap_or(self.level);
        left.is_some()
    }

    fn whole_units(&self) -> u64 {
        u64::try_from(self.level / u128::from(self.rate.window)).unwrap()
    }
}

fn rates() -> impl Strategy<Value = Rate> {
    let quota = prop_oneof![1..=9u64, 1..=1_000_000u64, any::<u64>().prop_map(|quota| quota.max(1))];
    let window = prop_oneof![
        Just(WINDOW_MIN),
        Just(WINDOW_MAX),
        Just(60 * SECOND),
        WINDOW_MIN..=WINDOW_MIN + 9_999,
        WINDOW_MIN..=WINDOW_MAX
    ];
    (quota, window).prop_map(|(quota, window)| Rate { quota, window })
}

/// A quota and takes that matter to it: shares of the quota and of the window, in 1/1000.
fn takes() -> impl Strategy<Value = (Rate, Vec<(u64, u64)>)> {
    let part = |whole: u64, share: u64| u64::try_from(u128::from(whole) * u128::from(share) / 1000).unwrap();
    let shares = prop::collection::vec((0..=1010u64, prop_oneof![Just(0), 0..=40u64, 0..=1200u64]), 1..40);
    (rates(), shares).prop_map(move |(rate, shares)| {
        let scale = |(cost, pause): (u64, u64)| {
            (
                part(rate.quota, cost % 1000).max(1).saturating_add(cost / 1000),
                part(rate.window, pause) + pause % 3,
            )
        };
        (rate, shares.into_iter().map(scale).collect())
    })
}

fn through_the_store(level: Level, rate: Rate, now: u64) -> Level {
    Stored::decode(&level.encode(rate)).unwrap().level(rate, now)
}

proptest! {
    #[test]
    fn it_decides_exactly_as_a_bucket_that_refills((rate, takes) in takes(), start in 0..2_000_000_000 * SECOND) {
        let (mut level, mut exact, mut now) = (Level::FULL, Exact::full(rate), start);
        for (cost, pause) in takes {
            now += pause;
            let taken = level.take(rate, u128::from(cost), now);
            prop_assert_eq!(taken.is_ok(), exact.take(cost, now));
            level = through_the_store(taken.unwrap_or(level), rate, now);
            prop_assert_eq!(level.standing(rate, now).remaining, exact.whole_units());
        }
    }

    #[test]
    fn no_stretch_of_time_admits_more_than_the_quota_and_its_refill(
        (rate, takes) in takes(), start in 0..2_000_000_000 * SECOND, backwards in any::<u64>()
    ) {
        let (mut level, mut now, mut admitted) = (Level::FULL, start, Vec::new());
        for (place, (cost, pause)) in takes.into_iter().enumerate() {
            now = if backwards >> (place % 64) & 1 == 1 { now.saturating_sub(pause) } else { now + pause };
            if let Ok(next) = level.take(rate, u128::from(cost), now) {
                level = through_the_store(next, rate, now);
                admitted.push((now, u128::from(cost)));
            }
        }
        for (from, _) in &admitted {
            for (to, _) in admitted.iter().filter(|(to, _)| to >= from) {
                let within = admitted.iter().filter(|(at, _)| (from..=to).contains(&at));
                let sum: u128 = within.map(|(_, cost)| cost).sum();
                let refill = u128::from(to - from) * u128::from(rate.quota);
                prop_assert!(sum * u128::from(rate.window) <= rate.capacity() + refill);
            }
        }
    }

    #[test]
    fn a_retry_succeeds_when_it_was_told_to_and_not_a_nanosecond_before((rate, takes) in takes()) {
        let (mut level, mut now) = (Level::FULL, SECOND);
        for (cost, pause) in takes {
            now += pause;
            match level.take(rate, u128::from(cost), now) {
                Ok(next) => level = next,
                Err(Lack { retry_after: u64::MAX }) => prop_assert!(cost > rate.quota),
                Err(Lack { retry_after }) => {
                    prop_assert!(level.take(rate, u128::from(cost), now + retry_after).is_ok());
                    prop_assert!(level.take(rate, u128::from(cost), now + retry_after - 1).is_err());
                }
            }
        }
    }

    #[test]
    fn the_reset_is_the_first_nanosecond_with_more_than_remains((rate, takes) in takes()) {
        let (mut level, mut now) = (Level::FULL, SECOND);
        for (cost, pause) in takes {
            now += pause;
            level = level.take(rate, u128::from(cost), now).unwrap_or(level);
            let Standing { remaining, reset_after } = level.standing(rate, now);
            if remaining == rate.quota {
                prop_assert_eq!(reset_after, 0);
            } else {
                prop_assert!(level.standing(rate, now + reset_after).remaining > remaining);
                prop_assert_eq!(level.standing(rate, now + reset_after - 1).remaining, remaining);
            }
        }
    }

    #[test]
    fn settling_is_as_if_the_actual_use_had_been_taken(
        rate in rates(), first in 0..=500u64, share in 0..=500u64, used in 0..=500u64
    ) {
        let part = |share: u64| u64::try_from(u128::from(rate.quota) * u128::from(share) / 1000).unwrap();
        let (now, taken, actual) = (SECOND, part(share), part(used));
        let before = Level::FULL.take(rate, u128::from(part(first)), now).unwrap();
        let reserved = before.take(rate, u128::from(taken), now).unwrap();
        let settled = reserved.settle(rate, taken, actual, now).unwrap_or(reserved);
        prop_assert_eq!(settled, before.take(rate, u128::from(actual), now).unwrap());
    }

    #[test]
    fn giving_back_at_once_restores_the_level(rate in rates(), first in 0..=500u64, share in 0..=500u64) {
        let part = |share: u64| u128::from(rate.quota) * u128::from(share) / 1000;
        let before = Level::FULL.take(rate, part(first), SECOND).unwrap();
        let taken = before.take(rate, part(share), SECOND).unwrap();
        prop_assert_eq!(taken.give_back(rate, part(share), SECOND), before);
    }

    #[test]
    fn any_bytes_are_a_level_or_an_error_and_any_level_can_be_used(
        mut value in prop::collection::vec(any::<u8>(), 0..50), is_version_one in any::<bool>(), whole in any::<bool>(),
        rate in rates(), now in any::<u64>(), cost in any::<u64>(), actual in any::<u64>()
    ) {
        if whole {
            value.resize(VALUE_BYTES, 0);
        }
        if let (true, Some(first)) = (is_version_one, value.first_mut()) {
            *first = VERSION;
        }
        if let Ok(stored) = Stored::decode(&value) {
            let level = stored.level(rate, now);
            level.standing(rate, now);
            let next = level.take(rate, u128::from(cost), now).unwrap_or(level);
            let next = next.settle(rate, cost, actual, now).unwrap_or(next);
            let next = next.give_back(rate, u128::from(cost), now);
            prop_assert!(next.tat <= rate.end());
            prop_assert_eq!(through_the_store(next, rate, now), next);
        }
    }

    #[test]
    fn a_changed_quota_never_leaves_more_of_the_bucket_than_was_there(
        old in rates(), new in rates(), share in 0..=1000u64
    ) {
        let now = 1_700_000_000 * SECOND;
        let cost = u128::from(old.quota) * u128::from(share) / 1000;
        let level = Level::FULL.take(old, cost, now).unwrap();
        let moved = Stored::decode(&level.encode(old)).unwrap().level(new, now);
        // Used shares, compared crosswise in ns: ahead_new / window_new >= ahead_old / window_old.
        let (before, after) = (level.ahead(old, now) / u128::from(old.quota), moved.ahead(new, now) / u128::from(new.quota));
        prop_assert!(after * u128::from(old.window) >= before * u128::from(new.window));
        prop_assert!(moved.ahead(new, now) <= new.capacity());
    }
}

const THREE_A_MINUTE: Rate = Rate { quota: 3, window: 60 * SECOND };

#[test]
fn a_quota_that_does_not_divide_its_window_is_given_out_whole() {
    let rate = Rate { quota: 7, window: 1_000_003 };
    let mut level = Level::FULL;
    for left in (0..7).rev() {
        level = level.take(rate, 1, SECOND).unwrap();
        assert_eq!(level.standing(rate, SECOND).remaining, left);
    }
    assert!(level.take(rate, 1, SECOND).is_err());
}

#[test]
fn a_clock_that_goes_back_gives_nothing_away() {
    let mut level = Level::FULL;
    for _ in 0..3 {
        level = level.take(THREE_A_MINUTE, 1, 1000 * SECOND).unwrap();
    }
    assert_eq!(level.take(THREE_A_MINUTE, 1, 10 * SECOND), Err(Lack { retry_after: 1010 * SECOND }));
    assert_eq!(
        level.standing(THREE_A_MINUTE, 10 * SECOND),
        Standing { remaining: 0, reset_after: 1010 * SECOND }
    );
}

#[test]
fn more_use_than_was_reserved_leads_below_zero() {
    let level = Level::FULL.take(THREE_A_MINUTE, 1, SECOND).unwrap();
    let level = level.settle(THREE_A_MINUTE, 1, 7, SECOND).unwrap();
    assert_eq!(level.standing(THREE_A_MINUTE, SECOND), Standing { remaining: 0, reset_after: 100 * SECOND });
    assert_eq!(level.take(THREE_A_MINUTE, 0, SECOND), Err(Lack { retry_after: 80 * SECOND }));
}

#[test]
fn a_debt_beyond_all_time_stays_however_much_is_given_back() {
    let level = Level::FULL.settle(THREE_A_MINUTE, 0, u64::MAX, SECOND).unwrap();
    assert_eq!(level.settle(THREE_A_MINUTE, 3, 0, SECOND), None);
    assert!(level.take(THREE_A_MINUTE, 1, SECOND).is_err());
}

#[test]
fn nothing_is_admitted_where_time_ends() {
    assert!(Level::FULL.take(THREE_A_MINUTE, 1, u64::MAX).is_err());
    assert!(Level::FULL.take(THREE_A_MINUTE, 1, u64::MAX - 21 * SECOND).is_ok());
}

#[test]
fn what_has_refilled_meanwhile_is_not_given_back() {
    let taken = Level::FULL.take(THREE_A_MINUTE, 3, SECOND).unwrap();
    let later = taken.take(THREE_A_MINUTE, 3, 61 * SECOND).unwrap();
    assert_eq!(later.give_back(THREE_A_MINUTE, 3, SECOND), later);
}

#[test]
fn the_stored_value_tells_when_it_may_be_dropped() {
    let level = Level::FULL.take(THREE_A_MINUTE, 1, 5 * SECOND).unwrap();
    let value = level.encode(THREE_A_MINUTE);
    assert_eq!(value[0], 1);
    assert_eq!(value[1..9], (25 * SECOND).to_be_bytes());
}
