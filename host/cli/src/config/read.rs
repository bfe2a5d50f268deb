//! Reading the file table by table: each key is taken once, and a key that nobody took is an error that names the
//! nearest one that somebody would have. All problems are collected, so one run shows them all.

use super::problem::Report;
use super::values::{self, DURATION_FORM, SIZE_FORM};
use std::cell::RefCell;
use std::fmt::Display;
use std::time::Duration;
use tollgate_runtime::Name;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// How much of a wrong value is shown.
const SHOWN_CHARS: usize = 80;

/// A table of the file, and which of its keys have been asked for.
pub(super) struct Table<'t> {
    report: &'t Report<'t>,
    path: String,
    offset: usize,
    entries: &'t DeTable<'t>,
    known: RefCell<Vec<&'static str>>,
}

/// A value of the file, with its place.
pub(super) struct Value<'t> {
    report: &'t Report<'t>,
    path: String,
    offset: usize,
    value: &'t DeValue<'t>,
}

impl<'t> Table<'t> {
    /// The whole file as a table.
    pub(super) fn root(report: &'t Report<'t>, entries: &'t DeTable<'t>) -> Self {
        Self { report, path: String::new(), offset: 0, entries, known: RefCell::default() }
    }

    /// The table's dotted path.
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    fn child(&self, key: &str, value: &'t Spanned<DeValue<'t>>) -> Value<'t> {
        let path = if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) };
        Value { report: self.report, path, offset: value.span().start, value: value.get_ref() }
    }

    /// The value of a key, if it is there.
    pub(super) fn get(&self, key: &'static str) -> Option<Value<'t>> {
        let mut known = self.known.borrow_mut();
        if !known.contains(&key) {
            known.push(key);
        }
        self.entries.get(key).map(|value| self.child(key, value))
    }

    /// The value of a key that must be there; `help` says what to write.
    pub(super) fn require(&self, key: &'static str, help: &str) -> Option<Value<'t>> {
        let value = self.get(key);
        if value.is_none() {
            self.error(format!("`{key}` is missing{}", self.place()), help);
        }
        value
    }

    /// The table of a key, read by `read`; the table's own leftovers are reported after it.
    pub(super) fn section<T>(
        &self,
        key: &'static str,
        read: impl FnOnce(&Table<'t>) -> Option<T>,
    ) -> Option<T> {
        self.get(key)?.table(read)
    }

    /// Every entry of a table whose keys are names that the operator chooses. What can't be read is there as none,
    /// so that what refers to it isn't reported as well.
    pub(super) fn named<T>(
        &self,
        key: &'static str,
        mut read: impl FnMut(&Name, &Table<'t>) -> Option<T>,
    ) -> Vec<(Name, Option<T>)> {
        let Some(value) = self.get(key) else { return Vec::new() };
        let Some(entries) = value.entries() else { return Vec::new() };
        let entry = |(key, value): (String, Value<'t>)| match Name::new(&key) {
            Ok(name) => {
                let read = value.table(|table| read(&name, table));
                Some((name, read))
            }
            Err(error) => {
                value.error(error.to_string(), None);
                None
            }
        };
        entries.into_iter().filter_map(entry).collect()
    }

    /// Notes that the table as a whole is wrong.
    pub(super) fn error(&self, message: String, help: &str) {
        self.report.error(self.offset, &self.path, message, Some(help.to_owned()));
    }

    fn place(&self) -> String {
        if self.path.is_empty() { String::new() } else { format!(" in [{}]", self.path) }
    }

    /// Reports every key that nobody asked for.
    pub(super) fn finish(self) {
        let known = self.known.into_inner();
        let place = if self.path.is_empty() { String::new() } else { format!(" in [{}]", self.path) };
        for key in self.entries.keys() {
            let name = key.get_ref().as_ref();
            if known.contains(&name) {
                continue;
            }
            let help = match nearest(name, known.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("the keys here are {}", listed(known.iter().copied())),
            };
            let message = format!("unknown key `{}`{place}", shown(name));
            self.report.error(key.span().start, &self.path, message, Some(help));
        }
    }
}

impl<'t> Value<'t> {
    /// The value's dotted path.
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// The byte offset of the value in the file.
    pub(super) fn offset(&self) -> usize {
        self.offset
    }

    /// Notes that the value is wrong.
    pub(super) fn error(&self, message: String, help: Option<String>) {
        self.report.error(self.offset, &self.path, message, help);
    }

    /// Notes that the value is dubious.
    pub(super) fn warning(&self, message: String, help: &str) {
        self.report.warning(self.offset, &self.path, message, help.to_owned());
    }

    fn wrong<T>(&self, wanted: &str) -> Option<T> {
        let found = match self.value {
            DeValue::String(text) => format!("\"{}\"", shown(text)),
            DeValue::Integer(number) => shown(&number.to_string()),
            DeValue::Float(number) => shown(&number.to_string()),
            DeValue::Boolean(flag) => flag.to_string(),
            DeValue::Datetime(time) => time.to_string(),
            DeValue::Array(_) => "a list".to_owned(),
            DeValue::Table(_) => "a table".to_owned(),
        };
        let key = self.path.rsplit('.').next().unwrap_or_default();
        self.error(format!("`{key}` is {found}, and must be {wanted}"), None);
        None
    }

    /// Whether it is a string.
    pub(super) fn is_text(&self) -> bool {
        self.value.is_str()
    }

    /// A string.
    pub(super) fn text(&self) -> Option<&'t str> {
        self.value.as_str().or_else(|| self.wrong("a string"))
    }

    /// A string that `parse` understands; its error is shown with the value.
    pub(super) fn parse<T, E: Display>(&self, parse: impl FnOnce(&str) -> Result<T, E>) -> Option<T> {
        match parse(self.text()?) {
            Ok(value) => Some(value),
            Err(error) => {
                self.error(error.to_string(), None);
                None
            }
        }
    }

    /// A string that `parse` understands; otherwise the message says what it must be.
    pub(super) fn form<T>(&self, wanted: &str, parse: impl FnOnce(&str) -> Option<T>) -> Option<T> {
        match self.value.as_str() {
            Some(text) => parse(text).or_else(|| self.wrong(wanted)),
            None => self.wrong(wanted),
        }
    }

    /// One of a few words.
    pub(super) fn choice<T: Copy>(&self, choices: &[(&str, T)]) -> Option<T> {
        let words = || choices.iter().map(|(word, _)| *word);
        let Some(text) = self.value.as_str() else { return self.wrong(&either(words())) };
        let found = choices.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        found.or_else(|| {
            let key = self.path.rsplit('.').next().unwrap_or_default();
            let help = nearest(text, words()).map(|near| format!("did you mean \"{near}\"?"));
            self.error(format!("`{key}` is \"{}\", and must be {}", shown(text), either(words())), help);
            None
        })
    }

    /// A name.
    pub(super) fn name(&self) -> Option<Name> {
        self.parse(Name::new)
    }

    /// True or false.
    pub(super) fn flag(&self) -> Option<bool> {
        self.value.as_bool().or_else(|| self.wrong("true or false"))
    }

    /// A whole number in a range.
    pub(super) fn integer(&self, least: u64, most: u64) -> Option<u64> {
        let range = || match most {
            u64::MAX => format!("a whole number of at least {least}"),
            _ => format!("a whole number from {least} to {most}"),
        };
        let number = self.value.as_integer().and_then(|n| u64::from_str_radix(n.as_str(), n.radix()).ok());
        number.filter(|number| (least..=most).contains(number)).or_else(|| self.wrong(&range()))
    }

    /// A size in bytes: a number, or text with a unit.
    pub(super) fn size(&self) -> Option<u64> {
        match self.value {
            DeValue::Integer(n) => {
                u64::from_str_radix(n.as_str(), n.radix()).ok().or_else(|| self.wrong(SIZE_FORM))
            }
            _ => self.form(SIZE_FORM, values::size),
        }
    }

    /// A size in bytes, within bounds.
    pub(super) fn bytes(&self, least: u64, most: u64) -> Option<usize> {
        let found = self.size()?;
        if (least..=most).contains(&found) {
            return usize::try_from(found).ok();
        }
        let key = self.path.rsplit('.').next().unwrap_or_default();
        self.error(format!("`{key} = {found}` is out of range: use {least} to {most}"), None);
        None
    }

    /// A duration with a unit, within bounds.
    pub(super) fn duration(&self, least: Duration, most: Duration) -> Option<Duration> {
        let found = self.form(DURATION_FORM, values::duration)?;
        if (least..=most).contains(&found) {
            return Some(found);
        }
        self.wrong(&format!("from {} to {}", spoken(least), spoken(most)))
    }

    /// Milliseconds: a number, or a duration with a unit.
    pub(super) fn milliseconds(&self) -> Option<u64> {
        let wanted = || format!("a number of milliseconds, or {DURATION_FORM}");
        match self.value {
            DeValue::Integer(n) => {
                u64::from_str_radix(n.as_str(), n.radix()).ok().or_else(|| self.wrong(&wanted()))
            }
            _ => self
                .form(&wanted(), values::duration)
                .map(|found| u64::try_from(found.as_millis()).unwrap_or(u64::MAX)),
        }
    }

    /// The values of a list.
    pub(super) fn list(&self) -> Option<Vec<Value<'t>>> {
        if self.value.is_table() {
            let key = self.path.rsplit('.').next().unwrap_or_default();
            let help = format!("write [[{}]], in two pairs of brackets, above each entry", self.path);
            self.error(format!("`{key}` is a table, and must be a list of tables"), Some(help));
            return None;
        }
        let Some(array) = self.value.as_array() else { return self.wrong("a list, in square brackets") };
        let item = |(index, value): (usize, &'t Spanned<DeValue<'t>>)| Value {
            report: self.report,
            path: format!("{}[{index}]", self.path),
            offset: value.span().start,
            value: value.get_ref(),
        };
        Some(array.iter().enumerate().map(item).collect())
    }

    /// A list in which `read` understands every value, and no two are the same.
    pub(super) fn set<T: PartialEq>(&self, mut read: impl FnMut(&Value<'t>) -> Option<T>) -> Option<Vec<T>> {
        let (mut found, mut whole) = (Vec::new(), true);
        for value in self.list()? {
            match read(&value) {
                Some(item) if found.contains(&item) => {
                    let text = shown(value.value.as_str().unwrap_or_default());
                    value.error(format!("`{text}` is there twice"), Some("remove one of the two".to_owned()));
                    whole = false;
                }
                Some(item) => found.push(item),
                None => whole = false,
            }
        }
        whole.then_some(found)
    }

    /// The entries of a table whose keys are free.
    pub(super) fn entries(&self) -> Option<Vec<(String, Value<'t>)>> {
        let Some(table) = self.value.as_table() else { return self.wrong("a table") };
        let entry = |(key, value): (&'t Spanned<std::borrow::Cow<'t, str>>, &'t Spanned<DeValue<'t>>)| {
            let name = key.get_ref().as_ref();
            let path = format!("{}.{}", self.path, shown(name));
            let offset = if value.get_ref().is_table() { key.span().start } else { value.span().start };
            (name.to_owned(), Value { report: self.report, path, offset, value: value.get_ref() })
        };
        Some(table.iter().map(entry).collect())
    }

    /// The value as a table, read by `read`; its leftovers are reported after it.
    pub(super) fn table<T>(&self, read: impl FnOnce(&Table<'t>) -> Option<T>) -> Option<T> {
        let Some(entries) = self.value.as_table() else { return self.wrong("a table") };
        let (report, path, offset) = (self.report, self.path.clone(), self.offset);
        let table = Table { report, path, offset, entries, known: RefCell::default() };
        let found = read(&table);
        table.finish();
        found
    }
}

/// A duration in the largest unit that fits it.
pub(super) fn spoken(duration: Duration) -> String {
    let millis = duration.as_millis();
    let units = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];
    let fits = units.iter().find(|(_, factor)| millis >= *factor && millis.is_multiple_of(*factor));
    let (unit, factor) = fits.copied().unwrap_or(("ms", 1));
    format!("{}{unit}", millis / factor)
}

/// A text in a message: one line, and no more than fits.
pub(super) fn shown(text: &str) -> String {
    let mut short: String = text.chars().take(SHOWN_CHARS).flat_map(char::escape_debug).collect();
    if text.chars().nth(SHOWN_CHARS).is_some() {
        short.push('…');
    }
    short.replace("\\\"", "\"").replace("\\'", "'")
}

/// The known word that somebody who wrote `word` most likely meant.
pub(super) fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    if word.len() > SHOWN_CHARS {
        return None;
    }
    let scored = known.map(|other| (strsim::damerau_levenshtein(word, other), other));
    let (distance, best) = scored.min_by_key(|(distance, _)| *distance)?;
    (distance <= 1 + best.len() / 4).then_some(best)
}

/// `a`, `b` and `c`, in backticks.
pub(super) fn listed<'a>(words: impl Iterator<Item = &'a str>) -> String {
    joined(words.map(|word| format!("`{word}`")), "and")
}

fn either<'a>(words: impl Iterator<Item = &'a str>) -> String {
    joined(words.map(|word| format!("\"{word}\"")), "or")
}

fn joined(words: impl Iterator<Item = String>, last: &str) -> String {
    let words: Vec<String> = words.collect();
    match words.split_last() {
        Some((end, rest)) if !rest.is_empty() => format!("{} {last} {end}", rest.join(", ")),
        Some((end, _)) => end.clone(),
        None => "none".to_owned(),
    }
}

/// A default for a key that isn't there; none when it is there and wrong.
pub(super) fn or<'t, T>(
    value: Option<Value<'t>>,
    default: T,
    read: impl FnOnce(&Value<'t>) -> Option<T>,
) -> Option<T> {
    match value {
        Some(value) => read(&value),
        None => Some(default),
    }
}
