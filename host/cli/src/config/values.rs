//! Durations and sizes as people write them.

use std::time::Duration;

/// Units of a duration, with their milliseconds.
const TIME_UNITS: [(&str, u64); 5] =
    [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

/// Units of a size, with their bytes. Powers of 1024 only: `MB` means two things, so it is refused.
const SIZE_UNITS: [(&str, u64); 4] = [("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];

/// What a duration looks like, for messages.
pub(super) const DURATION_FORM: &str = "a duration such as \"250ms\", \"10s\", \"1m\", \"1h\" or \"30d\"";

/// What a size looks like, for messages.
pub(super) const SIZE_FORM: &str = "a number of bytes, or a size such as \"64KiB\", \"64MiB\" or \"1GiB\"";

/// Reads a duration: a whole number and a unit, without a space. None when it is anything else, or more than a u64
/// of milliseconds.
pub(super) fn duration(text: &str) -> Option<Duration> {
    scaled(text, &TIME_UNITS).map(Duration::from_millis)
}

/// Reads a size in bytes: a whole number and a unit, without a space.
pub(super) fn size(text: &str) -> Option<u64> {
    scaled(text, &SIZE_UNITS)
}

fn scaled(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let end = text.find(|c: char| !c.is_ascii_digit())?;
    let (digits, unit) = text.split_at(end);
    let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
    digits.parse::<u64>().ok()?.checked_mul(*factor)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_duration_is_a_whole_number_with_a_unit() {
        assert_eq!(duration("250ms"), Some(Duration::from_millis(250)));
        assert_eq!(duration("30d"), Some(Duration::from_secs(30 * 86_400)));
        for bad in ["", "5", "s", "1.5s", "-1s", "1 s", "1S", "1sec", "999999999999999999d", "１s"] {
            assert_eq!(duration(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_size_has_a_binary_unit() {
        assert_eq!(size("64MiB"), Some(64 << 20));
        for bad in ["64MB", "64M", "64", "MiB", "17179869184GiB", "1e3B"] {
            assert_eq!(size(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC*") {
            let _ = (duration(&text), size(&text));
        }

        #[test]
        fn every_number_that_fits_is_read(number in 0u64..1 << 40, unit in 0usize..4) {
            let (name, factor) = SIZE_UNITS[unit];
            prop_assert_eq!(size(&format!("{number}{name}")), number.checked_mul(factor));
        }
    }
}
