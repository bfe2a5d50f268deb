//! A body that an app writes: of its response, or of a request that it sends.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use tollgate_fastly_platform::{Body, Failure, close, write};

/// What is whole and no longer than this goes out in one piece, with its record; of the rest no more is held.
const HELD_BYTES: usize = 16 << 10;

/// What has become of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// More may come.
    Open,
    /// The app has ended it.
    Whole,
    /// It is not as long as its head said.
    Wrong,
    /// It is longer than it may be.
    TooLarge,
    /// Nobody takes it any more.
    Gone,
}

/// Where the bytes go.
enum To {
    /// They are held: the head is not sent yet.
    Held(Vec<u8>),
    /// Out.
    Out(Body),
    /// Nowhere: the message has no body on the wire.
    Nowhere,
}

/// A body and how far it is.
pub(crate) struct Sink {
    to: RefCell<To>,
    end: Cell<End>,
    bytes: Cell<u64>,
    /// The length that the message's head says.
    announced: Option<u64>,
    /// How long it may be.
    most: u64,
}

/// Nothing can be written any more.
pub(crate) struct Closed;

impl Sink {
    pub(crate) fn new(announced: Option<u64>, most: u64) -> Rc<Self> {
        Rc::new(Self {
            to: RefCell::new(To::Held(Vec::new())),
            end: Cell::new(End::Open),
            bytes: Cell::new(0),
            announced,
            most,
        })
    }

    pub(crate) fn end(&self) -> End {
        self.end.get()
    }

    /// How many bytes the app has written.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.get()
    }

    /// Whether more is held than has to be.
    pub(crate) fn is_full(&self) -> bool {
        matches!(&*self.to.borrow(), To::Held(held) if held.len() > HELD_BYTES)
    }

    pub(crate) fn write(&self, bytes: &[u8]) -> Result<(), Closed> {
        if self.end() != End::Open {
            return Err(Closed);
        }
        let after = self.bytes.get().saturating_add(bytes.len() as u64);
        let (wrong, too_large) = (self.announced.is_some_and(|most| after > most), after > self.most);
        let mut to = self.to.borrow_mut();
        match &mut *to {
            To::Nowhere => return Ok(()),
            _ if too_large => return self.ends(End::TooLarge),
            _ if wrong => return self.ends(End::Wrong),
            To::Held(held) => held.extend_from_slice(bytes),
            To::Out(body) => {
                if write(body, bytes).is_err() {
                    return self.ends(End::Gone);
                }
            }
        }
        self.bytes.set(after);
        Ok(())
    }

    fn ends(&self, end: End) -> Result<(), Closed> {
        self.end.set(end);
        Err(Closed)
    }

    /// The head is sent: what is held goes out, and what comes goes after it.
    pub(crate) fn attach(&self, body: Body) {
        if let To::Held(held) = self.to.replace(To::Nowhere)
            && write(&body, &held).is_err()
        {
            self.end.set(End::Gone);
        }
        self.to.replace(To::Out(body));
    }

    /// Nobody can be sent it.
    pub(crate) fn lose(&self) {
        self.end.set(End::Gone);
    }

    /// There is to be no body: what comes is dropped.
    pub(crate) fn discard(&self) {
        self.to.replace(To::Nowhere);
    }

    /// What is held.
    pub(crate) fn take_held(&self) -> Vec<u8> {
        match &mut *self.to.borrow_mut() {
            To::Held(held) => std::mem::take(held),
            To::Out(_) | To::Nowhere => Vec::new(),
        }
    }

    /// The app has written all of it. It is whole if it is as long as its head said.
    pub(crate) fn finish(&self) -> End {
        if self.end() == End::Open {
            let goes = !matches!(&*self.to.borrow(), To::Nowhere);
            let wrong = goes && self.announced.is_some_and(|announced| announced != self.bytes());
            self.end.set(if wrong { End::Wrong } else { End::Whole });
        }
        self.end()
    }

    /// Ends what is whole on the wire, too. What is dropped without this never looks whole.
    pub(crate) fn close(&self) -> Result<(), Failure> {
        match self.to.replace(To::Nowhere) {
            To::Out(body) => close(body),
            To::Held(_) | To::Nowhere => Ok(()),
        }
    }
}
