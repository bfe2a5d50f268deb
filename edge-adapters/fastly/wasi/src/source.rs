//! A body that an app reads: of its request, or of a response to one that it sent.

use crate::bindings::exports::wasi::http::types::ErrorCode;
use crate::run;
use tollgate_fastly_platform::{Body, length, read};

/// Why a body gives no more.
pub(crate) enum Ended {
    /// It is at its end.
    Closed,
    /// It broke off, or is longer than it may be.
    Failed(ErrorCode),
}

/// A body and how far it was read.
pub(crate) struct Source {
    body: Body,
    /// The length that the message's head said.
    announced: Option<u64>,
    /// Whether it is the request's, which has a limit.
    of_request: bool,
    bytes: u64,
    held: Vec<u8>,
    ended: bool,
}

impl Source {
    /// The body of the run's request.
    pub(crate) fn request(body: Body, announced: Option<u64>) -> Self {
        Self { body, announced, of_request: true, bytes: 0, held: Vec::new(), ended: false }
    }

    /// The body of a response to the app.
    pub(crate) fn response(body: Body, announced: Option<u64>) -> Self {
        Self { body, announced, of_request: false, bytes: 0, held: Vec::new(), ended: false }
    }

    /// The next bytes, at most so many, once there are some.
    pub(crate) fn next(&mut self, most: u64) -> Result<Vec<u8>, Ended> {
        if most == 0 {
            return Ok(Vec::new());
        }
        if self.held.is_empty() {
            self.fill()?;
        }
        let most = usize::try_from(most).unwrap_or(usize::MAX).min(self.held.len());
        Ok(self.held.drain(..most).collect())
    }

    fn fill(&mut self) -> Result<(), Ended> {
        if self.ended {
            return Err(Ended::Closed);
        }
        if length(&self.body) != Some(0) {
            run::flow();
        }
        // It is over unless there is more.
        self.ended = true;
        let chunk = read(&self.body).map_err(|_| self.broken())?;
        if chunk.is_empty() {
            let whole = self.announced.is_none_or(|announced| announced == self.bytes);
            return Err(if whole { Ended::Closed } else { self.broken() });
        }
        self.bytes += chunk.len() as u64;
        if self.of_request && run::read(self.bytes).is_err() {
            return Err(Ended::Failed(ErrorCode::HttpRequestBodySize(Some(self.bytes))));
        }
        self.held = chunk;
        self.ended = false;
        Ok(())
    }

    fn broken(&self) -> Ended {
        Ended::Failed(if self.of_request {
            ErrorCode::ConnectionTerminated
        } else {
            ErrorCode::HttpResponseIncomplete
        })
    }
}
