use proptest::prelude::*;

use super::*;
use crate::gate::tests::facts;

const ALL: [KeyField; 4] = [KeyField::App, KeyField::Route, KeyField::Actor, KeyField::ClientAddress];

fn named(app: &str, actor: &str) -> Facts {
    let mut facts = facts();
    app.clone_into(&mut facts.app);
    actor.clone_into(&mut facts.actor.id);
    facts
}

#[test]
fn the_tenant_comes_first_and_is_always_there() {
    assert_eq!(key(&facts(), &[]), "acme");
    assert_eq!(key(&facts(), &ALL), "acme/shop/cart/ada/192.0.2.7");
}

#[test]
fn an_ipv6_client_is_its_network() {
    let from = |address: &str| {
        let mut facts = facts();
        address.clone_into(&mut facts.client_address);
        key(&facts, &[KeyField::ClientAddress])
    };
    assert_eq!(from("2001:db8:1:2:3:4:5:6"), "acme/2001:db8:1:2::%2F64");
    assert_eq!(from("2001:db8:1:2::1"), from("2001:db8:1:2:ffff::9"));
    assert_ne!(from("2001:db8:1:2::1"), from("2001:db8:1:3::1"));
}

#[test]
fn a_slash_in_a_value_is_not_a_separator() {
    let fields = [KeyField::App, KeyField::Actor];
    assert_eq!(key(&named("a/b", "c"), &fields), "acme/a%2Fb/c");
    assert_eq!(key(&named("a", "b/c"), &fields), "acme/a/b%2Fc");
    assert_eq!(key(&named("a%2Fb", "c"), &fields), "acme/a%252Fb/c");
    assert_eq!(key(&named("a", ""), &fields), "acme/a/");
}

#[test]
fn control_characters_are_escaped_and_letters_of_all_scripts_are_not() {
    let fields = [KeyField::Actor];
    assert_eq!(key(&named("", "zoë\u{0}\n\u{7f}\u{85}東"), &fields), "acme/zoë%00%0A%7F%C2%85東");
}

#[test]
fn the_order_and_repetition_of_fields_make_no_other_counter() {
    let jumbled = [KeyField::Actor, KeyField::Tenant, KeyField::App, KeyField::Actor];
    assert_eq!(in_order(&jumbled), [KeyField::App, KeyField::Actor]);
}

proptest! {
    #[test]
    fn different_values_never_share_a_key(
        one in prop::array::uniform2("[ab/%\\x00]{0,4}"), other in prop::array::uniform2("[ab/%\\x00]{0,4}")
    ) {
        let fields = [KeyField::App, KeyField::Actor];
        let keys = [&one, &other].map(|[app, actor]| key(&named(app, actor), &fields));
        prop_assert_eq!(keys[0] == keys[1], one == other);
    }

    #[test]
    fn any_value_becomes_one_component_without_control_characters(value in any::<String>()) {
        let key = key(&named("", &value), &[KeyField::Actor]);
        prop_assert_eq!(key.matches('/').count(), 1);
        prop_assert!(!key.contains(char::is_control));
    }
}
