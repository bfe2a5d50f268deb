//! The shell: the core as a component of the world `backend`.

use crate::bindings::exports::wasi::keyvalue::atomics::{self, CasError, GuestCas};
use crate::bindings::exports::wasi::keyvalue::store::{self, Error, GuestBucket, KeyResponse};
use crate::bindings::fastly::compute::kv_store;
use crate::{Counters, Entry, Insert, Kv, KvError, Listing, Swap, Version};
use std::rc::Rc;
use tollgate_fastly_platform::bindings::fastly::compute::types::OpenError;
use tollgate_fastly_platform::{self as platform, Body};

/// The longest value, and the longest list of keys: far more than any counter has.
const VALUE_BYTES_MOST: usize = 4 << 20;

struct Component;

/// A KV store that is open.
pub(crate) struct Bucket(Rc<Counters<Store>>);

struct Store(kv_store::Store);

impl Kv for Store {
    fn lookup(&self, key: &str) -> Result<Option<Entry>, KvError> {
        let Some(entry) = self.0.lookup(key).map_err(failure)? else { return Ok(None) };
        let value = entry.take_body().map_or_else(|| Ok(Vec::new()), |body| read(&body))?;
        Ok(Some(Entry { value, generation: entry.generation() }))
    }

    fn insert(&self, key: &str, value: &[u8], when: Insert) -> Result<(), KvError> {
        let (generation, mode) = match when {
            Insert::Always => (None, kv_store::InsertMode::Overwrite),
            Insert::IfAbsent => (None, kv_store::InsertMode::Add),
            Insert::IfGeneration(generation) => (Some(generation), kv_store::InsertMode::Overwrite),
        };
        let options = kv_store::InsertOptions {
            background_fetch: false,
            if_generation_match: generation,
            metadata: None,
            time_to_live_sec: None,
            mode,
            extra: None,
        };
        self.0.insert(key, body(value)?, &options).map_err(failure)
    }

    fn delete(&self, key: &str) -> Result<(), KvError> {
        self.0.delete(key).map(|_| ()).map_err(failure)
    }
}

impl Store {
    fn list(&self, cursor: Option<String>) -> Result<Listing, String> {
        let options = kv_store::ListOptions {
            mode: kv_store::ListMode::Strong,
            cursor,
            limit: None,
            prefix: None,
            extra: None,
        };
        let page = self.0.list(&options).map_err(failure).and_then(|body| read(&body));
        let page = page.map_err(|error| error.to_string())?;
        Listing::read(&page).map_err(|error| error.to_string())
    }
}

fn body(value: &[u8]) -> Result<Body, KvError> {
    let body = platform::empty().map_err(unreadable)?;
    platform::write(&body, value).map_err(unreadable)?;
    Ok(body)
}

fn read(body: &Body) -> Result<Vec<u8>, KvError> {
    platform::read_whole(body, VALUE_BYTES_MOST).map_err(unreadable)
}

fn unreadable(failure: platform::Failure) -> KvError {
    KvError::Failed(failure.to_string())
}

fn failure(error: kv_store::KvError) -> KvError {
    match error {
        kv_store::KvError::PreconditionFailed => KvError::Moved,
        kv_store::KvError::TooManyRequests => KvError::TooMany,
        other => KvError::Failed(format!("{other:?}")),
    }
}

fn other(error: impl ToString) -> Error {
    Error::Other(error.to_string())
}

impl store::Guest for Component {
    type Bucket = Bucket;

    fn open(identifier: String) -> Result<store::Bucket, Error> {
        match kv_store::Store::open(&identifier) {
            Ok(store) => Ok(store::Bucket::new(Bucket(Rc::new(Counters(Store(store)))))),
            Err(OpenError::NotFound) => Err(Error::NoSuchStore),
            Err(error) => Err(other(format!("the KV store `{identifier}` can't be opened: {error:?}"))),
        }
    }
}

impl GuestBucket for Bucket {
    fn get(&self, key: String) -> Result<Option<Vec<u8>>, Error> {
        self.0.get(&key).map_err(other)
    }

    fn set(&self, key: String, value: Vec<u8>) -> Result<(), Error> {
        self.0.set(&key, &value).map_err(other)
    }

    fn delete(&self, key: String) -> Result<(), Error> {
        self.0.delete(&key).map_err(other)
    }

    fn exists(&self, key: String) -> Result<bool, Error> {
        self.0.get(&key).map(|value| value.is_some()).map_err(other)
    }

    fn list_keys(&self, cursor: Option<String>) -> Result<KeyResponse, Error> {
        let Listing { keys, cursor } = self.0.0.list(cursor).map_err(Error::Other)?;
        Ok(KeyResponse { keys, cursor })
    }
}

/// One version of one key, and the store that it is in.
pub(crate) struct Cas {
    version: Version,
    store: Rc<Counters<Store>>,
}

impl atomics::Guest for Component {
    type Cas = Cas;

    fn increment(bucket: store::BucketBorrow<'_>, key: String, delta: i64) -> Result<i64, Error> {
        bucket.get::<Bucket>().0.increment(&key, delta).map_err(other)
    }

    fn swap(cas: atomics::Cas, value: Vec<u8>) -> Result<(), CasError> {
        let Cas { version, store } = cas.into_inner::<Cas>();
        match store.swap(version, &value) {
            Ok(Swap::Done) => Ok(()),
            Ok(Swap::Moved(version)) => Err(CasError::CasFailed(atomics::Cas::new(Cas { version, store }))),
            Err(error) => Err(CasError::StoreError(other(error))),
        }
    }
}

impl GuestCas for Cas {
    fn new(bucket: store::BucketBorrow<'_>, key: String) -> Result<atomics::Cas, Error> {
        let store = bucket.get::<Bucket>().0.clone();
        let version = store.begin(&key).map_err(other)?;
        Ok(atomics::Cas::new(Cas { version, store }))
    }

    fn current(&self) -> Result<Option<Vec<u8>>, Error> {
        Ok(self.version.value().map(<[u8]>::to_vec))
    }
}

#[allow(unsafe_code, reason = "generated from the WIT")]
mod exports {
    use super::Component;

    crate::bindings::export!(Component with_types_in crate::bindings);
}
