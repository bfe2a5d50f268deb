use super::*;

#[test]
fn a_rule_set_lists_its_members_in_order() {
    let mut set = RuleSet::empty(130);
    for rule in [129, 0, 64, 63, 5] {
        set.insert(rule);
    }
    assert_eq!(set.iter().collect::<Vec<_>>(), [0, 5, 63, 64, 129]);
    let mut other = RuleSet::empty(130);
    other.insert(64);
    other.insert(7);
    set.keep(&other);
    assert_eq!(set.iter().collect::<Vec<_>>(), [64]);
    set.add(&other);
    assert_eq!(set.iter().collect::<Vec<_>>(), [7, 64]);
    assert_eq!(RuleSet::empty(0).iter().count(), 0);
}
