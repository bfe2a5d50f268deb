//! From a signed component to the files of a deployment, and the record of it.

use crate::cores::{CoresError, cores};
use crate::instrument::{self, InstrumentError};
use crate::record::{Deriver, Gas, Input, Output, Record, RecordError, Target};
use crate::schedule::Schedule;
use std::collections::BTreeMap;

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// What the component is called in the deployment, without an ending.
    pub name: &'a str,
    /// Its bytes, as they were signed and verified.
    pub component: &'a [u8],
    /// Where it is to run.
    pub target: Target,
    /// The charges to put inside; none to leave the code as it is.
    pub gas: Option<&'a Schedule>,
    /// The limit, in units of fuel, that holds inside until the host sets another one. Of no effect without `gas`.
    pub start_limit: u64,
}

/// A file of the deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Its path in the deployment.
    pub path: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// What came out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Derived {
    /// The files, sorted by path.
    pub files: Vec<File>,
    /// What they were derived from, and how.
    pub record: Record,
}

/// Nothing was derived.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeriveError {
    /// No charges could be put inside.
    #[error("it can't count gas")]
    Instrument(#[from] InstrumentError),
    /// Its core modules can't be told.
    #[error("its core modules can't be taken out")]
    Cores(#[from] CoresError),
    /// The record can't be written: a name is none, or there are too many files.
    #[error("what came out can't be recorded")]
    Record(#[from] RecordError),
}

/// Derives what a target runs. A pure function: the same request gives the same files and the same record.
///
/// Every target gets `NAME.wasm`: the component with its bytes unchanged, or, with gas, instrumented. Cloudflare also
/// gets its core modules as files, `NAME.core-PATH.wasm`, because there code must be uploaded and can't be compiled
/// later: they are byte ranges of `NAME.wasm`.
///
/// # Errors
/// [`DeriveError`] says which step failed.
pub fn derive(request: &Request<'_>) -> Result<Derived, DeriveError> {
    let Request { name, component, target, gas, start_limit } = *request;
    let mut options = BTreeMap::new();
    let whole = match gas {
        Some(schedule) => {
            options.insert("start-limit".to_owned(), start_limit.to_string());
            instrument::component(component, schedule, start_limit)?
        }
        None => component.to_vec(),
    };
    let mut files = Vec::new();
    if target == Target::Cloudflare {
        for core in cores(&whole)? {
            let bytes = whole.get(core.range()).unwrap_or_default().to_vec();
            files.push(File { path: format!("{name}.core-{}.wasm", core.path()), bytes });
        }
    }
    files.push(File { path: format!("{name}.wasm"), bytes: whole });
    files.sort_by(|one, other| one.path.cmp(&other.path));
    let record = Record {
        inputs: vec![Input::of(name, component)],
        deriver: Deriver::this(),
        target,
        gas: gas.map(|schedule| Gas { schedule: schedule.id().to_owned(), blake3: schedule.digest() }),
        options,
        outputs: files.iter().map(|file| Output::of(&file.path, &file.bytes)).collect(),
    };
    record.to_json()?;
    Ok(Derived { files, record })
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

    fn request(component: &[u8], target: Target, gas: Option<&Schedule>) -> Derived {
        derive(&Request { name: "app", component, target, gas, start_limit: 1_000 }).unwrap()
    }

    #[test]
    fn without_gas_the_bytes_stay_and_the_record_says_so() {
        let bytes = component();
        let derived = request(&bytes, Target::Server, None);
        assert_eq!(derived.files, [File { path: "app.wasm".into(), bytes: bytes.clone() }]);
        assert_eq!(derived.record.inputs[0].sha256, derived.record.outputs[0].sha256);
        assert_eq!(derived.record.gas, None);
    }

    #[test]
    fn for_workers_the_core_modules_lie_beside_the_component() {
        let (bytes, schedule) = (component(), Schedule::default());
        for gas in [None, Some(&schedule)] {
            let derived = request(&bytes, Target::Cloudflare, gas);
            let whole = derived.files.iter().find(|file| file.path == "app.wasm").unwrap();
            let cores = derived.files.iter().filter(|file| file.path.contains(".core-"));
            let inside =
                |file: &File| whole.bytes.windows(file.bytes.len()).any(|window| window == file.bytes);
            let count = cores.inspect(|file| assert!(inside(file), "{}", file.path)).count();
            // With gas there is one more: the cell.
            assert_eq!(count, if gas.is_some() { 2 } else { 1 });
        }
    }

    #[test]
    fn the_same_request_gives_the_same_bytes() {
        let (bytes, schedule) = (component(), Schedule::default());
        for target in Target::ALL {
            let derived = [(); 2].map(|()| request(&bytes, target, Some(&schedule)));
            assert_eq!(derived[0], derived[1]);
            assert_eq!(derived[0].record.options["start-limit"], "1000");
        }
    }
}
