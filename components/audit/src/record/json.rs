//! JSON as RFC 8785 writes it, for objects whose names the caller gives in order.

use std::borrow::Cow;

/// The largest integer that a double, and so RFC 8785, holds exactly with all smaller ones: 2^53 - 1.
pub(super) const MAX_COUNT: u64 = (1 << 53) - 1;

/// An object that is being written. Names must come in the order of their UTF-16 code units.
pub(super) struct Object<'a> {
    out: &'a mut Vec<u8>,
    first: bool,
}

impl<'a> Object<'a> {
    pub(super) fn begin(out: &'a mut Vec<u8>) -> Self {
        out.push(b'{');
        Self { out, first: true }
    }

    pub(super) fn end(self) {
        self.out.push(b'}');
    }

    fn name(&mut self, name: &'static str) {
        if !std::mem::take(&mut self.first) {
            self.out.push(b',');
        }
        self.out.push(b'"');
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
    }

    pub(super) fn text(&mut self, name: &'static str, value: &str, bound_bytes: usize) {
        self.name(name);
        text(self.out, value, bound_bytes);
    }

    pub(super) fn count(&mut self, name: &'static str, value: u64) {
        self.name(name);
        let mut value = value.min(MAX_COUNT);
        let start = self.out.len();
        loop {
            self.out.push(b'0' + u8::try_from(value % 10).unwrap_or(0));
            value /= 10;
            if value == 0 {
                break;
            }
        }
        if let Some(digits) = self.out.get_mut(start..) {
            digits.reverse();
        }
    }

    pub(super) fn object(&mut self, name: &'static str, write: impl FnOnce(&mut Object<'_>)) {
        self.name(name);
        let mut inner = Object::begin(self.out);
        write(&mut inner);
        inner.end();
    }

    pub(super) fn list<T>(&mut self, name: &'static str, items: &[T], write: impl Fn(&mut Vec<u8>, &T)) {
        self.name(name);
        self.out.push(b'[');
        for (place, item) in items.iter().enumerate() {
            if place > 0 {
                self.out.push(b',');
            }
            write(self.out, item);
        }
        self.out.push(b']');
    }
}

/// Writes a JSON string of at most `bound_bytes` bytes before escaping, free of control characters.
pub(super) fn text(out: &mut Vec<u8>, value: &str, bound_bytes: usize) {
    let clean = bounded(value, bound_bytes);
    out.push(b'"');
    for &byte in clean.as_bytes() {
        if byte == b'"' || byte == b'\\' {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out.push(b'"');
}

/// The text without control characters, cut to the bound. Bounding it again changes nothing.
fn bounded(value: &str, bound_bytes: usize) -> Cow<'_, str> {
    let mut text = Cow::Borrowed(value);
    if value.chars().any(char::is_control) {
        text = Cow::Owned(value.replace(char::is_control, "\u{fffd}"));
    }
    if text.len() > bound_bytes {
        let end = text.floor_char_boundary(bound_bytes.saturating_sub('…'.len_utf8()));
        let mut cut = text.into_owned();
        cut.truncate(end);
        cut.push('…');
        text = Cow::Owned(cut);
    }
    text
}
