//! `wasi:io/streams` and `wasi:io/error`.

use crate::Wasi;
use crate::bindings::exports::wasi::http::types::ErrorCode;
use crate::bindings::exports::wasi::io::error::{self, GuestError};
use crate::bindings::exports::wasi::io::poll::Pollable;
use crate::bindings::exports::wasi::io::streams::{
    self, GuestInputStream, GuestOutputStream, InputStreamBorrow, StreamError,
};
use crate::lines::Stream;
use crate::poll;
use crate::run;
use crate::sink::{Closed, End, Sink};
use crate::source::{Ended, Source};
use std::cell::RefCell;
use std::rc::Rc;

/// How much may be written at once.
const WRITE_BYTES: u64 = 64 << 10;

/// Why a stream failed.
pub(crate) struct IoError(pub(crate) ErrorCode);

/// Bytes for an app.
pub(crate) enum Input {
    /// A body.
    Body(RefCell<Source>),
    /// Standard input, where there is nothing.
    Nothing,
}

/// Bytes from an app.
pub(crate) enum Output {
    /// A body.
    Body(Rc<Sink>),
    /// Standard output or error.
    Lines(Stream),
}

impl Input {
    fn next(&self, most: u64) -> Result<Vec<u8>, StreamError> {
        let Self::Body(source) = self else { return Err(StreamError::Closed) };
        source.borrow_mut().next(most).map_err(|ended| match ended {
            Ended::Closed => StreamError::Closed,
            Ended::Failed(code) => StreamError::LastOperationFailed(error::Error::new(IoError(code))),
        })
    }
}

impl Output {
    fn put(&self, bytes: &[u8]) -> Result<(), StreamError> {
        match self {
            Self::Lines(stream) => run::print(*stream, bytes),
            Self::Body(sink) => {
                sink.write(bytes).map_err(|Closed| StreamError::Closed)?;
                if sink.is_full() {
                    run::flow();
                }
            }
        }
        Ok(())
    }

    fn is_open(&self) -> Result<(), StreamError> {
        match self {
            Self::Body(sink) if sink.end() != End::Open => Err(StreamError::Closed),
            _ => Ok(()),
        }
    }

    fn copy(&self, from: &InputStreamBorrow<'_>, most: u64) -> Result<u64, StreamError> {
        self.is_open()?;
        let bytes = from.get::<Input>().next(most.min(WRITE_BYTES))?;
        self.put(&bytes)?;
        Ok(bytes.len() as u64)
    }
}

fn zeroes(count: u64) -> Vec<u8> {
    vec![0; usize::try_from(count.min(WRITE_BYTES)).unwrap_or_default()]
}

impl error::Guest for Wasi {
    type Error = IoError;
}

impl GuestError for IoError {
    fn to_debug_string(&self) -> String {
        format!("{:?}", self.0)
    }
}

impl streams::Guest for Wasi {
    type InputStream = Input;
    type OutputStream = Output;
}

impl GuestInputStream for Input {
    fn read(&self, len: u64) -> Result<Vec<u8>, StreamError> {
        self.next(len)
    }

    fn blocking_read(&self, len: u64) -> Result<Vec<u8>, StreamError> {
        self.next(len)
    }

    fn skip(&self, len: u64) -> Result<u64, StreamError> {
        self.next(len).map(|bytes| bytes.len() as u64)
    }

    fn blocking_skip(&self, len: u64) -> Result<u64, StreamError> {
        self.skip(len)
    }

    fn subscribe(&self) -> Pollable {
        poll::ready()
    }
}

impl GuestOutputStream for Output {
    fn check_write(&self) -> Result<u64, StreamError> {
        self.is_open().map(|()| WRITE_BYTES)
    }

    fn write(&self, contents: Vec<u8>) -> Result<(), StreamError> {
        self.put(&contents)
    }

    fn blocking_write_and_flush(&self, contents: Vec<u8>) -> Result<(), StreamError> {
        self.put(&contents)
    }

    fn flush(&self) -> Result<(), StreamError> {
        self.is_open()
    }

    fn blocking_flush(&self) -> Result<(), StreamError> {
        self.is_open()
    }

    fn subscribe(&self) -> Pollable {
        poll::ready()
    }

    fn write_zeroes(&self, len: u64) -> Result<(), StreamError> {
        self.put(&zeroes(len))
    }

    fn blocking_write_zeroes_and_flush(&self, len: u64) -> Result<(), StreamError> {
        self.put(&zeroes(len))
    }

    fn splice(&self, src: InputStreamBorrow<'_>, len: u64) -> Result<u64, StreamError> {
        self.copy(&src, len)
    }

    fn blocking_splice(&self, src: InputStreamBorrow<'_>, len: u64) -> Result<u64, StreamError> {
        self.copy(&src, len)
    }
}
