//! Bodies.
//!
//! Nothing here asks whether reading would wait. To ask takes the error of a body that has broken off away, in Viceroy
//! at least, and the next read then says that the body is at its end: half a body would look whole.

pub use crate::bindings::fastly::compute::http_body::Body;

use crate::bindings::fastly::compute::http_body;
use crate::{Failure, failed};

/// How much is asked for at once.
const CHUNK_BYTES: u32 = 64 << 10;

/// A body of nothing.
///
/// # Errors
/// The platform's own.
pub fn empty() -> Result<Body, Failure> {
    http_body::new().map_err(failed("a body can't be made"))
}

/// The next bytes of a body, once there are some; none at its end.
///
/// # Errors
/// If it broke off.
pub fn read(body: &Body) -> Result<Vec<u8>, Failure> {
    http_body::read(body, CHUNK_BYTES).map_err(failed("a body can't be read"))
}

/// All bytes of a body, which may be so many.
///
/// # Errors
/// If it broke off, or has more.
pub fn read_whole(body: &Body, most: usize) -> Result<Vec<u8>, Failure> {
    let mut whole = Vec::new();
    loop {
        let chunk = read(body)?;
        if chunk.is_empty() {
            return Ok(whole);
        }
        if whole.len() + chunk.len() > most {
            return Err(Failure::new("a body is too long"));
        }
        whole.extend_from_slice(&chunk);
    }
}

/// Writes all bytes to a body.
///
/// # Errors
/// If nobody takes them any more.
pub fn write(body: &Body, bytes: &[u8]) -> Result<(), Failure> {
    let mut rest = bytes;
    while !rest.is_empty() {
        let written = http_body::write(body, rest).map_err(failed("a body can't be written"))?;
        // No progress would be an endless loop.
        let left = usize::try_from(written).ok().filter(|&n| n > 0).and_then(|n| rest.get(n..));
        rest = left.ok_or_else(|| Failure::new("a body takes no more bytes"))?;
    }
    Ok(())
}

/// Ends a body that is whole. One that is dropped instead never looks so.
///
/// # Errors
/// The platform's own.
pub fn close(body: Body) -> Result<(), Failure> {
    http_body::close(body).map_err(failed("a body can't be ended"))
}

/// The length of a body, if the platform knows it.
pub fn length(body: &Body) -> Option<u64> {
    http_body::get_known_length(body)
}
