//! The shell: the core as a component of the world `rate-limiter`.

use std::cell::RefCell;

use crate::bindings::exports::tollgate::gate::limiter::Guest;
use crate::bindings::wasi::keyvalue::atomics::{self, Cas, CasError};
use crate::bindings::wasi::keyvalue::store;
use crate::{
    Adjustment, Bucket, Charge, Diagnostic, Limiter, RateStatus, Store, StoreError, Swap, TakeError,
};

#[derive(Default)]
struct Instance {
    limiter: Limiter,
    store: String,
    /// Opened by `configure`, and again after the store had failed.
    handle: Option<store::Bucket>,
}

thread_local! {
    static INSTANCE: RefCell<Instance> = RefCell::default();
}

impl Instance {
    /// Calls with the opened store. A handle that was there when something failed is not used again.
    fn with<T, E>(
        &mut self,
        call: impl FnOnce(&Limiter, &mut KeyValue<'_>) -> Result<T, E>,
        failed: impl Fn(&E) -> bool,
        fail: impl FnOnce(String) -> E,
    ) -> Result<T, E> {
        let handle = match self.handle.take() {
            Some(handle) => handle,
            None => match open(&self.store) {
                Ok(handle) => handle,
                Err(text) => return Err(fail(text)),
            },
        };
        let result = call(&self.limiter, &mut KeyValue { bucket: &handle });
        if !result.as_ref().err().is_some_and(failed) {
            self.handle = Some(handle);
        }
        result
    }
}

fn open(name: &str) -> Result<store::Bucket, String> {
    store::open(name).map_err(|error| format!("the store `{name}` cannot be opened: {}", text(error).0))
}

fn text(error: store::Error) -> StoreError {
    StoreError(match error {
        store::Error::NoSuchStore => "no such store".to_owned(),
        store::Error::AccessDenied => "access denied".to_owned(),
        store::Error::Other(text) => text,
    })
}

struct KeyValue<'a> {
    bucket: &'a store::Bucket,
}

impl Store for KeyValue<'_> {
    type Cas = Cas;

    fn begin(&mut self, key: &str) -> Result<Cas, StoreError> {
        Cas::new(self.bucket, key).map_err(text)
    }

    fn current(&mut self, cas: &Cas) -> Result<Option<Vec<u8>>, StoreError> {
        cas.current().map_err(text)
    }

    fn swap(&mut self, cas: Cas, value: &[u8]) -> Result<Swap<Cas>, StoreError> {
        match atomics::swap(cas, value) {
            Ok(()) => Ok(Swap::Done),
            Err(CasError::CasFailed(cas)) => Ok(Swap::Moved(cas)),
            Err(CasError::StoreError(error)) => Err(text(error)),
        }
    }
}

struct Component;

impl Guest for Component {
    fn configure(buckets: Vec<Bucket>, store: String) -> Result<(), Vec<Diagnostic>> {
        let limiter = Limiter::new(buckets)?;
        let handle = open(&store)
            .map_err(|message| vec![Diagnostic { message, place: Some(store.clone()), line: None }])?;
        INSTANCE.replace(Instance { limiter, store, handle: Some(handle) });
        Ok(())
    }

    fn take(charges: Vec<Charge>, now: u64) -> Result<Vec<RateStatus>, TakeError> {
        INSTANCE.with_borrow_mut(|instance| {
            instance.with(
                |limiter, store| limiter.take(store, &charges, now),
                |error| matches!(error, TakeError::Store(_)),
                TakeError::Store,
            )
        })
    }

    fn settle(adjustments: Vec<Adjustment>, now: u64) -> Result<(), String> {
        INSTANCE.with_borrow_mut(|instance| {
            instance.with(|limiter, store| limiter.settle(store, &adjustments, now), |_| true, |text| text)
        })
    }
}

#[allow(unsafe_code, reason = "generated from the WIT")]
mod exports {
    use super::Component;

    crate::bindings::export!(Component with_types_in crate::bindings);
}
