//! How texts that others supplied are shown in our messages, and how times are read.

use jiff::Timestamp;

/// Longest piece of somebody else's text that a message repeats, in characters.
const MAX_SHOWN_CHARS: usize = 80;

/// Makes a text that came from outside fit for a message: control characters escaped (a log line
/// stays one line) and cut when it is long.
pub(crate) fn shown(text: &str) -> String {
    let mut out: String = text.chars().take(MAX_SHOWN_CHARS).flat_map(char::escape_debug).collect();
    if text.chars().nth(MAX_SHOWN_CHARS).is_some() {
        out.push('…');
    }
    out
}

/// Writes names as "`a`, `b`".
pub(crate) fn listed<T: std::fmt::Display>(names: impl IntoIterator<Item = T>) -> String {
    names.into_iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// Reads a date and time of RFC 3339 in its upper-case form: `2026-11-21T10:00:00Z`, with an optional
/// fraction and with `Z` or a numeric offset. Jiff alone would read more (other separators, zone names).
pub(crate) fn rfc3339(text: &str) -> Option<Timestamp> {
    let (date_time, rest) = text.split_at_checked(19)?;
    let shape_fits = date_time.bytes().zip(b"0000-00-00T00:00:00").all(|(found, wanted)| match wanted {
        b'0' => found.is_ascii_digit(),
        _ => found == *wanted,
    });
    let zone = match rest.strip_prefix('.') {
        None => rest,
        Some(fraction) => {
            let zone = fraction.trim_start_matches(|c: char| c.is_ascii_digit());
            if zone.len() == fraction.len() {
                return None;
            }
            zone
        }
    };
    let zone_fits = zone == "Z"
        || (zone.len() == 6
            && zone.bytes().zip(b"+00:00").all(|(found, wanted)| match wanted {
                b'+' => matches!(found, b'+' | b'-'),
                b'0' => found.is_ascii_digit(),
                _ => found == *wanted,
            }));
    if shape_fits && zone_fits { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_the_plain_form_of_a_time_is_read() {
        for good in ["2026-11-21T10:00:00Z", "2026-11-21T10:00:00.25Z", "2026-11-21T11:30:00+01:30"] {
            assert!(rfc3339(good).is_some(), "{good}");
        }
        for bad in [
            "2026-11-21 10:00:00Z",
            "2026-11-21T10:00:00",
            "2026-11-21T10:00:00z",
            "2026-11-21T10:00:00.Z",
            "2026-13-21T10:00:00Z",
            "2026-02-30T10:00:00Z",
            "2026-11-21T10:00:00+01:00[Europe/Paris]",
            "20261121T100000Z",
            "",
        ] {
            assert!(rfc3339(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn control_characters_cannot_forge_a_log_line() {
        assert_eq!(shown("a\nb"), "a\\nb");
        assert_eq!(shown(&"x".repeat(200)).chars().count(), MAX_SHOWN_CHARS + 1);
    }

    proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(text in ".{0,40}") {
            let _ = rfc3339(&text);
        }

        #[test]
        fn a_written_time_is_read_back(seconds in 0_i64..250_000_000_000, nanos in 0_i32..1_000_000_000) {
            let time = Timestamp::new(seconds, nanos).unwrap();
            prop_assert_eq!(rfc3339(&time.to_string()), Some(time));
        }
    }
}
