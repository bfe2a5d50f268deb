//! The key of a charge: who is counted.

use crate::{Facts, KeyField};
use std::borrow::Cow;
use std::net::Ipv6Addr;

/// The longest key, bytes, as `charge` in the WIT has it.
pub(crate) const KEY_BYTES_MAX: usize = 1024;

/// Most keys are no longer, and need one allocation.
const KEY_BYTES_LIKELY: usize = 96;

/// The tenant, then the values of the fields, each escaped, joined by `/`.
pub(crate) fn key(facts: &Facts, fields: &[KeyField]) -> String {
    let mut key = String::with_capacity(KEY_BYTES_LIKELY);
    escape(&mut key, &facts.tenant);
    for field in fields {
        key.push('/');
        escape(&mut key, &value(facts, *field));
    }
    key
}

/// The fields in the order of their declaration, each once, without the tenant, which is always there. So neither
/// order nor repetition in a configuration makes another counter.
pub(crate) fn in_order(fields: &[KeyField]) -> Vec<KeyField> {
    let order = [KeyField::App, KeyField::Route, KeyField::Actor, KeyField::ClientAddress];
    order.into_iter().filter(|field| fields.contains(field)).collect()
}

fn value(facts: &Facts, field: KeyField) -> Cow<'_, str> {
    match field {
        KeyField::Tenant => (&facts.tenant).into(),
        KeyField::App => (&facts.app).into(),
        KeyField::Route => (&facts.route).into(),
        KeyField::Actor => (&facts.actor.id).into(),
        KeyField::ClientAddress => network(&facts.client_address),
    }
}

/// Who counts as one client: an IPv4 address, or an IPv6 network of 64 bits. A line gets no less than such a network,
/// and could be 2^64 clients otherwise.
fn network(address: &str) -> Cow<'_, str> {
    match address.parse::<Ipv6Addr>() {
        Ok(address) => {
            let network = u128::from(address) >> 64 << 64;
            format!("{}/64", Ipv6Addr::from(network)).into()
        }
        Err(_) => address.into(),
    }
}

/// Percent-escapes what would end a component (`/`), what escapes (`%`), and control characters.
fn escape(into: &mut String, text: &str) {
    let mut rest = text;
    while let Some((plain, special, after)) = split(rest) {
        into.push_str(plain);
        for byte in special.bytes() {
            into.push('%');
            for nibble in [byte >> 4, byte & 15] {
                into.push(char::from_digit(nibble.into(), 16).unwrap_or('0').to_ascii_uppercase());
            }
        }
        rest = after;
    }
    into.push_str(rest);
}

/// Splits at the first character that must be escaped.
fn split(text: &str) -> Option<(&str, &str, &str)> {
    let special = |character: char| matches!(character, '/' | '%') || character.is_control();
    let (start, found) = text.char_indices().find(|(_, character)| special(*character))?;
    let (plain, rest) = text.split_at_checked(start)?;
    let (special, after) = rest.split_at_checked(found.len_utf8())?;
    Some((plain, special, after))
}

#[cfg(test)]
mod tests;
