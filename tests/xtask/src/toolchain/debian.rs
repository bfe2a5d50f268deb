use super::Toolchain;
use anyhow::{Result, bail};
use std::path::Path;

pub(crate) fn is_here() -> bool {
    false
}

pub(crate) fn prepare(_folder: &Path) -> Result<Toolchain> {
    bail!("not yet")
}
