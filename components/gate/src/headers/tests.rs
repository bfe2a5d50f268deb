use proptest::prelude::*;
use sfv::{BareItem, List, ListEntry, Parser};

use super::*;

/// The members of a List of Strings with parameters, as a client reads them.
pub(crate) fn parsed(text: &str) -> Vec<(String, Vec<(String, String)>)> {
    let list: List = Parser::new(text).parse().unwrap();
    let read = |entry: &ListEntry| {
        let ListEntry::Item(item) = entry else { panic!("an inner list in `{text}`") };
        let BareItem::String(name) = &item.bare_item else { panic!("not a String in `{text}`") };
        let parameters = item.params.iter().map(|(name, value)| {
            let value = match value {
                BareItem::Integer(number) => i64::from(*number).to_string(),
                BareItem::String(text) => text.to_string(),
                other => panic!("{other:?}"),
            };
            (name.to_string(), value)
        });
        (name.to_string(), parameters.collect())
    };
    list.iter().map(read).collect()
}

fn bucket(name: &str, unit: Unit, quota: u64, window: u64) -> Bucket {
    Bucket { name: name.into(), unit, quota, window }
}

#[test]
fn a_policy_names_quota_and_window_and_the_unit_of_gas() {
    let buckets = [
        bucket("burst", Unit::Requests, 100, 60 * SECOND),
        bucket("work", Unit::Gas, 5_000_000, 3600 * SECOND),
    ];
    assert_eq!(policy(buckets.iter()), r#""burst";q=100;w=60, "work";q=5000000;w=3600;qu="gas""#);
}

#[test]
fn a_window_that_is_no_whole_second_is_rounded_up() {
    let buckets = [bucket("a", Unit::Requests, 1, 1_000_000), bucket("b", Unit::Requests, 1, SECOND + 1)];
    assert_eq!(policy(buckets.iter()), r#""a";q=1;w=1, "b";q=1;w=2"#);
}

#[test]
fn figures_too_large_for_a_structured_field_are_cut() {
    let text = policy([bucket("a", Unit::Requests, u64::MAX, SECOND)].iter());
    assert_eq!(text, r#""a";q=999999999999999;w=1"#);
    assert_eq!(parsed(&text).len(), 1);
}

#[test]
fn a_retry_is_rounded_up_and_never_at_once() {
    assert_eq!([0, 1, SECOND, SECOND + 1].map(retry_seconds), [1, 1, 1, 2]);
    assert_eq!(retry_seconds(u64::MAX), 18_446_744_074);
}

proptest! {
    #[test]
    fn a_number_reads_as_the_standard_library_writes_it(value in any::<u64>(), digits in 0..20u32) {
        let value = value / 10u64.pow(digits);
        let mut text = String::new();
        decimal(&mut text, value);
        prop_assert_eq!(text, value.to_string());
    }

    #[test]
    fn both_fields_parse_to_what_was_meant(
        all in prop::collection::vec(("[a-z0-9-]{1,64}", any::<bool>(), 1..u64::MAX, 1..u64::MAX, any::<u64>()), 1..6)
    ) {
        let unit = |gas: bool| if gas { Unit::Gas } else { Unit::Requests };
        let buckets: Vec<_> =
            all.iter().map(|(name, gas, quota, window, _)| bucket(name, unit(*gas), *quota, *window)).collect();
        let statuses: Vec<_> = all
            .iter()
            .map(|(name, _, remaining, _, reset_after)| RateStatus {
                bucket: name.clone(),
                remaining: *remaining,
                reset_after: *reset_after,
            })
            .collect();
        let number = |name: &str, value: u64| (name.to_owned(), value.min(INTEGER_MAX).to_string());
        let (policies, limits) = (parsed(&policy(buckets.iter())), parsed(&limit(&statuses)));
        prop_assert_eq!(policies.len(), all.len());
        for ((name, gas, quota, window, reset), (policy, limit)) in all.iter().zip(policies.iter().zip(&limits)) {
            let mut expected = vec![number("q", *quota), number("w", window.div_ceil(SECOND))];
            if *gas {
                expected.push(("qu".into(), "gas".into()));
            }
            prop_assert_eq!(policy, &(name.clone(), expected));
            let expected = vec![number("r", *quota), number("t", reset.div_ceil(SECOND))];
            prop_assert_eq!(limit, &(name.clone(), expected));
        }
    }
}
