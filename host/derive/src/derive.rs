//! From what an adapter made to a deployment: its files, and the record of what they were made from.

use crate::cores::cores;
use crate::record::{Deriver, Gas, Input, Output, Record, RecordError, Target, Verbatim};
use crate::schedule::Schedule;
use std::collections::{BTreeMap, HashMap};
use tollgate_trust::{Sha256, Verified};

/// How a core module begins, and how a component does.
const MODULE: &[u8] = b"\0asm\x01\0\0\0";
const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";

/// Bytes that a deployment is made of.
#[derive(Debug, Clone)]
pub struct Source<'a> {
    input: Input,
    bytes: &'a [u8],
}

impl<'a> Source<'a> {
    /// A signed component.
    pub fn signed(name: &str, component: &'a Verified) -> Self {
        let input = Input {
            name: name.to_owned(),
            release: Some(component.release().subject()),
            bytes: component.bytes().len() as u64,
            sha256: component.sha256(),
            blake3: component.blake3(),
        };
        Self { input, bytes: component.bytes().as_ref() }
    }

    /// What nobody signed by itself: a checked configuration, or an adapter's own program.
    pub fn other(name: &str, bytes: &'a [u8]) -> Self {
        Self { input: Input::of(name, bytes), bytes }
    }
}

/// How a deployment is made, and of what. Its files are a pure function of this.
#[derive(Debug, Clone)]
pub struct Recipe<'a> {
    /// The program that makes it.
    pub deriver: Deriver,
    /// Where it is to run.
    pub target: Target,
    /// The charges that are put inside; none where the code stays as it is.
    pub gas: Option<&'a Schedule>,
    /// What else is asked for.
    pub options: BTreeMap<String, String>,
    /// What it is made of; no two of one name.
    pub sources: Vec<Source<'a>>,
}

/// A deployment: its files by their paths, and the record of them, which is not among them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Derived {
    files: BTreeMap<String, Vec<u8>>,
    record: Record,
}

impl Derived {
    /// The files.
    pub fn files(&self) -> &BTreeMap<String, Vec<u8>> {
        &self.files
    }

    /// What they were made from, and how.
    pub fn record(&self) -> &Record {
        &self.record
    }
}

impl Recipe<'_> {
    /// The deployment of the files that were made.
    ///
    /// # Errors
    /// [`RecordError`] when no record can be written of it: a name is none, or there are too many.
    pub fn made(mut self, files: BTreeMap<String, Vec<u8>>) -> Result<Derived, RecordError> {
        self.sources.sort_by(|one, other| one.input.name.cmp(&other.input.name));
        let modules = self.modules();
        let output = |(path, bytes): (&String, &Vec<u8>)| {
            let mut output = Output::of(path, bytes);
            output.verbatim = self.verbatim(bytes, output.sha256, &modules);
            output
        };
        let record = Record {
            outputs: files.iter().map(output).collect(),
            inputs: self.sources.iter().map(|source| source.input.clone()).collect(),
            deriver: self.deriver,
            target: self.target,
            gas: self
                .gas
                .map(|schedule| Gas { schedule: schedule.id().to_owned(), blake3: schedule.digest() }),
            options: self.options,
        };
        record.to_json()?;
        Ok(Derived { files, record })
    }

    /// Where each core module stands in a source, by its digest.
    fn modules(&self) -> HashMap<Sha256, Verbatim> {
        let mut modules = HashMap::new();
        for Source { input, bytes } in &self.sources {
            // What is no component has none.
            for core in cores(bytes).unwrap_or_default() {
                let place = Verbatim {
                    at: 0,
                    bytes: core.length as u64,
                    input: input.name.clone(),
                    offset: core.offset as u64,
                };
                modules.entry(core.sha256).or_insert(place);
            }
        }
        modules
    }

    /// What of a file stands in a source: of a module all of it or nothing, of a component the sources in it.
    fn verbatim(&self, bytes: &[u8], sha256: Sha256, modules: &HashMap<Sha256, Verbatim>) -> Vec<Verbatim> {
        if bytes.starts_with(MODULE) {
            return modules.get(&sha256).cloned().into_iter().collect();
        }
        if !bytes.starts_with(COMPONENT) {
            return Vec::new();
        }
        let place = |Source { input, bytes: part }: &Source<'_>| {
            let at = find(bytes, part)? as u64;
            Some(Verbatim { at, bytes: part.len() as u64, input: input.name.clone(), offset: 0 })
        };
        let mut places: Vec<Verbatim> = self.sources.iter().filter_map(place).collect();
        places.sort();
        places
    }
}

/// Where a component begins in another. Its first bytes are rare elsewhere.
fn find(whole: &[u8], part: &[u8]) -> Option<usize> {
    if !part.starts_with(COMPONENT) {
        return None;
    }
    let starts = whole.windows(COMPONENT.len()).enumerate().filter(|(_, window)| *window == COMPONENT);
    starts.map(|(at, _)| at).find(|at| whole.get(*at..).is_some_and(|rest| rest.starts_with(part)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn component() -> Vec<u8> {
        wat::parse_str(
            r#"(component (core module $m (func (export "f") (result i32) i32.const 3))
                 (core instance $i (instantiate $m)) (func (export "f") (result u32) (canon lift (core func $i "f"))))"#,
        )
        .unwrap()
    }

    fn made(files: &[(&str, &[u8])], sources: Vec<Source<'_>>) -> Derived {
        let files = files.iter().map(|(path, bytes)| ((*path).to_owned(), bytes.to_vec())).collect();
        let deriver = Deriver { name: "tests".into(), version: "1.0.0".into() };
        let recipe = Recipe { deriver, target: Target::Fastly, gas: None, options: BTreeMap::new(), sources };
        recipe.made(files).unwrap()
    }

    #[test]
    fn a_core_module_is_told_by_the_range_of_the_component_that_it_is() {
        let component = component();
        let core = cores(&component).unwrap()[0].clone();
        let module = &component[core.range()];
        let derived = made(
            &[("app.core.wasm", module), ("glue.wasm", b"\0asm\x01\0\0\0"), ("app.js", b"text")],
            vec![Source::other("settings", b"{}"), Source::other("app", &component)],
        );
        let [glue, app] = ["glue.wasm", "app.core.wasm"].map(|path| derived.record().output(path).unwrap());
        let range =
            Verbatim { at: 0, bytes: module.len() as u64, input: "app".into(), offset: core.offset as u64 };
        assert_eq!((app.verbatim.as_slice(), glue.verbatim.as_slice()), (&[range][..], &[][..]));
        let names: Vec<&str> = derived.record().inputs.iter().map(|input| input.name.as_str()).collect();
        assert_eq!(names, ["app", "settings"], "sorted, however they were given");
    }

    #[test]
    fn a_component_tells_which_others_stand_in_it() {
        let part = component();
        let other = wat::parse_str("(component (core module (memory 1)))").unwrap();
        let whole = [&wat::parse_str("(component)").unwrap()[..], b"..", &part, b"."].concat();
        let derived = made(
            &[("main.wasm", &whole)],
            vec![Source::other("part", &part), Source::other("other", &other)],
        );
        let range = Verbatim { at: 10, bytes: part.len() as u64, input: "part".into(), offset: 0 };
        assert_eq!(derived.record().outputs[0].verbatim, [range]);
    }

    #[test]
    fn two_sources_of_one_name_are_no_record() {
        let deriver = Deriver { name: "tests".into(), version: "1.0.0".into() };
        let sources = vec![Source::other("a", b"1"), Source::other("a", b"2")];
        let recipe = Recipe { deriver, target: Target::Server, gas: None, options: BTreeMap::new(), sources };
        let refused = recipe.made(BTreeMap::from([("a".to_owned(), Vec::new())]));
        assert!(matches!(refused, Err(RecordError::Field { field: "inputs", .. })), "{refused:?}");
    }
}
