//! Unix nanoseconds as RFC 3339 text in UTC and back, without a clock or a time zone.

const SECOND: u64 = 1_000_000_000;
const DAY_SECONDS: u64 = 86_400;
/// Days in 400 years of the Gregorian calendar, after which it repeats.
const ERA_DAYS: u64 = 146_097;
/// Days from 1 March of the year 0 to 1 January 1970.
const EPOCH_DAYS: u64 = 719_468;

/// `YYYY-MM-DDThh:mm:ss.nnnnnnnnnZ`. Leap seconds do not occur in Unix time; the latest value is in the year 2554.
pub(super) fn format(unix_nanoseconds: u64) -> String {
    let seconds = unix_nanoseconds / SECOND;
    let (year, month, day) = date(seconds / DAY_SECONDS);
    let of_day = seconds % DAY_SECONDS;
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    let fraction = unix_nanoseconds % SECOND;
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{fraction:09}Z")
}

/// Year, month and day of a day since 1970. Years are counted from March, so that the leap day comes last.
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + EPOCH_DAYS;
    let (era, day_of_era) = (days / ERA_DAYS, days % ERA_DAYS);
    // Leaves out the leap days before this day: one in 4 years, none in 100, one in 400.
    let leap_days = day_of_era / 1_460 + day_of_era / (ERA_DAYS - 1) - day_of_era / 36_524;
    let year_of_era = (day_of_era - leap_days) / 365;
    let day_of_year = day_of_era - (year_of_era * 365 + year_of_era / 4 - year_of_era / 100);
    // From March on, lengths of months repeat every five: 153 days.
    let march_month = (day_of_year * 5 + 2) / 153;
    let day = day_of_year - (march_month * 153 + 2) / 5 + 1;
    let (month, next_year) = if march_month < 10 { (march_month + 3, 0) } else { (march_month - 9, 1) };
    (era * 400 + year_of_era + next_year, month, day)
}

/// Reads what [`format`] writes, and nothing else.
#[cfg(not(target_family = "wasm"))]
pub(super) fn parse(text: &str) -> Option<u64> {
    let number = |from: usize, to: usize| {
        let digits = text.get(from..to).filter(|d| d.bytes().all(|b| b.is_ascii_digit()))?;
        digits.parse::<u64>().ok()
    };
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let of_day = number(11, 13)? * 3600 + number(14, 16)? * 60 + number(17, 19)?;
    // Days before the year and month, again counted from March.
    let (year, march_month) =
        if month > 2 { (year, month - 3) } else { (year.checked_sub(1)?, (month + 9) % 12) };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (march_month * 153 + 2) / 5 + day;
    let days = days.checked_sub(1 + EPOCH_DAYS)?;
    let time = (days * DAY_SECONDS + of_day).checked_mul(SECOND)?.checked_add(number(20, 29)?)?;
    (format(time) == text).then_some(time)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn known_days_have_their_dates() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00.000000000Z"),
            (951_782_399, "2000-02-28T23:59:59.000000000Z"),
            (951_782_400, "2000-02-29T00:00:00.000000000Z"),
            (951_868_800, "2000-03-01T00:00:00.000000000Z"),
            (1_709_164_800, "2024-02-29T00:00:00.000000000Z"),
            (4_107_542_400, "2100-03-01T00:00:00.000000000Z"),
            (4_107_456_000, "2100-02-28T00:00:00.000000000Z"),
        ] {
            assert_eq!(format(seconds * SECOND), text);
            assert_eq!(parse(text), Some(seconds * SECOND));
        }
        assert_eq!(format(u64::MAX), "2554-07-21T23:34:33.709551615Z");
    }

    #[test]
    fn other_texts_are_no_times() {
        for text in [
            "",
            "1970-01-01",
            "1970-01-01T00:00:00Z",
            "1970-01-01T00:00:00.00000000Z",
            "1970-02-30T00:00:00.000000000Z",
            "1970-00-01T00:00:00.000000000Z",
            "1970-13-01T00:00:00.000000000Z",
            "1970-01-00T00:00:00.000000000Z",
            "1969-12-31T00:00:00.000000000Z",
            "2555-01-01T00:00:00.000000000Z",
            "1970-01-01T24:00:00.000000000Z",
            "1970-01-01T00:00:60.000000000Z",
            "1970-01-01t00:00:00.000000000Z",
            "1970-01-01T00:00:00.+00000000Z",
            "197é-01-01T00:00:00.00000000Z",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_time_reads_back_as_written(time: u64) {
            prop_assert_eq!(parse(&format(time)), Some(time));
        }

        #[test]
        fn later_times_have_later_texts(one: u64, other: u64) {
            prop_assert_eq!(one.cmp(&other), format(one).cmp(&format(other)));
        }
    }
}
