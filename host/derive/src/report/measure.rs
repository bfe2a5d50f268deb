//! What a component's bytes tell of its sizes.

use super::platform::Quantity;
use crate::record::Target;
use wasmparser::{BinaryReaderError, DataKind, Encoding, Parser, Payload};

/// From this size on, code is worth a word about how long it takes to start.
const MUCH_CODE: u64 = 4 << 20;

/// From this size on, so is the data that a module writes at its start.
const MUCH_DATA: u64 = 4 << 20;

/// What was measured of a component.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Measured {
    /// Its imports, with versions, in the order of the file.
    pub imports: Vec<String>,
    component: u64,
    largest_module: u64,
    modules: u64,
    memories: u64,
    initial_memory: u64,
    table_elements: u64,
    functions: u64,
    depth: u64,
    code: u64,
    data: u64,
    starts: u64,
}

/// Bytes that can't be measured.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MeasureError {
    /// A core module.
    #[error("it is a core module, not a component: wrap it with `wasm-tools component new`")]
    NotAComponent,
    /// Not WebAssembly.
    #[error("it is not WebAssembly: {0}")]
    Malformed(String),
}

impl From<BinaryReaderError> for MeasureError {
    fn from(error: BinaryReaderError) -> Self {
        Self::Malformed(error.to_string())
    }
}

impl Measured {
    /// Measures a component. Looks at no function's body.
    ///
    /// # Errors
    /// [`MeasureError`] when the bytes are no component.
    pub fn of(bytes: &[u8]) -> Result<Self, MeasureError> {
        let mut measured = Self { component: bytes.len() as u64, ..Self::default() };
        let mut open: u64 = 0;
        for payload in Parser::new(0).parse_all(bytes) {
            let payload = payload?;
            match &payload {
                Payload::Version { encoding: Encoding::Module, .. } if open == 0 => {
                    return Err(MeasureError::NotAComponent);
                }
                Payload::Version { .. } => {
                    open += 1;
                    measured.depth = measured.depth.max(open);
                }
                Payload::End(_) => open = open.saturating_sub(1),
                Payload::ComponentImportSection(section) if open == 1 => {
                    for import in section.clone() {
                        measured.imports.push(import?.name.name.to_owned());
                    }
                }
                _ => measured.add(&payload)?,
            }
        }
        Ok(measured)
    }

    fn add(&mut self, payload: &Payload<'_>) -> Result<(), MeasureError> {
        match payload {
            Payload::ModuleSection { unchecked_range, .. } => {
                self.modules += 1;
                self.largest_module = self.largest_module.max(unchecked_range.end - unchecked_range.start);
            }
            Payload::FunctionSection(section) => self.functions += u64::from(section.count()),
            Payload::MemorySection(section) => {
                for memory in section.clone() {
                    let memory = memory?;
                    let page = 1_u64.checked_shl(memory.page_size_log2.unwrap_or(16)).unwrap_or(u64::MAX);
                    self.memories += 1;
                    self.initial_memory =
                        self.initial_memory.saturating_add(memory.initial.saturating_mul(page));
                }
            }
            Payload::TableSection(section) => {
                for table in section.clone() {
                    self.table_elements = self.table_elements.saturating_add(table?.ty.initial);
                }
            }
            Payload::CodeSectionStart { unchecked_range, .. } => {
                self.code += unchecked_range.end - unchecked_range.start;
            }
            Payload::DataSection(section) => {
                for data in section.clone() {
                    let data = data?;
                    if matches!(data.kind, DataKind::Active { .. }) {
                        self.data += data.data.len() as u64;
                    }
                }
            }
            Payload::StartSection { .. } => self.starts += 1,
            _ => {}
        }
        Ok(())
    }

    /// Elements that the tables of its modules have at the start, together.
    pub fn table_elements(&self) -> u64 {
        self.table_elements
    }

    /// How much there is of a quantity.
    pub fn quantity(&self, quantity: Quantity) -> u64 {
        match quantity {
            Quantity::Component => self.component,
            Quantity::LargestModule => self.largest_module,
            Quantity::Modules => self.modules,
            Quantity::Memories => self.memories,
            Quantity::InitialMemory => self.initial_memory,
            Quantity::Functions => self.functions,
            Quantity::Depth => self.depth,
        }
    }

    /// What makes it start slowly there.
    pub(crate) fn hints(&self, target: Target) -> Vec<String> {
        let mut hints = Vec::new();
        if self.starts > 0 {
            hints.push(format!(
                "{} modules run a start function before the first call: each fresh instance pays for it",
                self.starts
            ));
        }
        if self.data > MUCH_DATA {
            hints.push(format!("{} bytes of data are laid out for each fresh instance", self.data));
        }
        if self.code > MUCH_CODE {
            let where_ = match target {
                Target::Server => "compiled once on each host, for seconds",
                Target::Cloudflare => "compiled when a Worker starts, which may take 1 s in all",
                Target::Fastly => "compiled when the package is deployed",
            };
            hints.push(format!("{} bytes of code are {where_}", self.code));
        }
        hints
    }
}
