//! The rules, parsed once.

use tollgate_sdk::policy::Diagnostic;

const NANOSECONDS_PER_MINUTE: u64 = 60_000_000_000;
const MINUTES_PER_DAY: u64 = 24 * 60;

/// What the configuration says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Rules {
    /// When requests are let in; always if none.
    pub(crate) hours: Option<Hours>,
    /// What is denied.
    pub(crate) closed: Vec<Closed>,
    /// Groups for which the other rules do not hold.
    pub(crate) groups: Vec<String>,
}

/// A span of the day in UTC, from a minute up to, not including, another. It may reach over midnight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hours {
    from: u64,
    until: u64,
}

/// A path, and everything below it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Closed(String);

impl Rules {
    /// Reads the rules; every line that is wrong is named.
    pub(crate) fn parse(text: &str) -> Result<Self, Vec<Diagnostic>> {
        let mut rules = Self::default();
        let mut wrong = Vec::new();
        for (number, line) in (1_u32..).zip(text.lines()) {
            let line = line.split('#').next().unwrap_or_default().trim();
            if line.is_empty() {
                continue;
            }
            if let Err(message) = rules.add(line) {
                wrong.push(Diagnostic::new(message).at_line(number));
            }
        }
        if wrong.is_empty() { Ok(rules) } else { Err(wrong) }
    }

    fn add(&mut self, line: &str) -> Result<(), String> {
        match line.split_once(char::is_whitespace).map(|(word, rest)| (word, rest.trim())) {
            Some(("hours", _)) if self.hours.is_some() => {
                Err("`hours` is given twice: give it once".to_owned())
            }
            Some(("hours", span)) => {
                self.hours = Some(Hours::parse(span)?);
                Ok(())
            }
            Some(("closed", path)) if path.starts_with('/') => {
                self.closed.push(Closed(path.trim_end_matches('/').to_owned()));
                Ok(())
            }
            Some(("closed", path)) => Err(format!("`{path}` is no path: begin it with `/`")),
            Some(("group", name)) => {
                self.groups.push(name.to_owned());
                Ok(())
            }
            _ => Err(format!("`{line}` is no rule: a line begins with `hours`, `closed` or `group`")),
        }
    }
}

impl Hours {
    fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no span of hours: write it as `08:00-18:00`");
        let (from, until) = text.split_once('-').ok_or_else(wrong)?;
        let (from, until) = (minute(from).ok_or_else(wrong)?, minute(until).ok_or_else(wrong)?);
        if from == until {
            return Err(format!("`{text}` is an empty span: let it end at another time"));
        }
        Ok(Self { from, until })
    }

    /// True if this time, in Unix nanoseconds, lies in the span.
    pub(crate) fn contain(self, time: u64) -> bool {
        let minute = time / NANOSECONDS_PER_MINUTE % MINUTES_PER_DAY;
        if self.from < self.until {
            (self.from..self.until).contains(&minute)
        } else {
            minute >= self.from || minute < self.until
        }
    }
}

/// The minute of the day that `08:30` names; `24:00` is the day's end.
fn minute(text: &str) -> Option<u64> {
    let (hour, minute) = text.trim().split_once(':')?;
    let two_digits = |part: &str| part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit());
    if !two_digits(hour) || !two_digits(minute) {
        return None;
    }
    let (hour, minute): (u64, u64) = (hour.parse().ok()?, minute.parse().ok()?);
    (minute < 60 && hour * 60 + minute <= MINUTES_PER_DAY).then_some(hour * 60 + minute)
}

impl Closed {
    /// True if the path is this one or lies below it. `/in` does not cover `/inside`.
    pub(crate) fn covers(&self, path: &str) -> bool {
        path.strip_prefix(&self.0).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

#[cfg(test)]
mod tests {
    use super::{Closed, NANOSECONDS_PER_MINUTE, Rules};

    #[test]
    fn hours_may_reach_over_midnight() {
        let rules = Rules::parse("hours 22:00-06:00").unwrap();
        let hours = rules.hours.unwrap();
        for (minute, inside) in [(0, true), (359, true), (360, false), (1319, false), (1320, true)] {
            assert_eq!(hours.contain(minute * NANOSECONDS_PER_MINUTE), inside, "minute {minute}");
        }
    }

    #[test]
    fn a_closed_path_covers_what_is_below_it_and_not_its_namesakes() {
        let closed = Closed("/internal".to_owned());
        assert!(closed.covers("/internal"));
        assert!(closed.covers("/internal/users"));
        assert!(!closed.covers("/internals"));
    }

    #[test]
    fn every_wrong_line_is_named() {
        let wrong = Rules::parse("hours 25:00-26:00\n\nclosed internal\nopen /\n").unwrap_err();
        let lines: Vec<_> = wrong.iter().map(|diagnostic| diagnostic.line).collect();
        assert_eq!(lines, [Some(1), Some(3), Some(4)]);
    }

    #[test]
    fn comments_and_empty_lines_are_no_rules() {
        assert_eq!(Rules::parse("# nothing\n\n   # here\n").unwrap(), Rules::default());
    }
}
