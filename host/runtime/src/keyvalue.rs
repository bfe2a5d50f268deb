//! `wasi:keyvalue` 0.2.0-draft2, `wasi:config` and the signer for guests, over the adapter's stores.

use crate::bindings::tollgate::platform::signer;
use crate::bindings::wasi::config::store as config;
use crate::bindings::wasi::keyvalue::atomics::{self, CasError};
use crate::bindings::wasi::keyvalue::batch;
use crate::bindings::wasi::keyvalue::store::{self, Error, KeyResponse};
use crate::handles::{CasHandle, OpenBucket};
use crate::seams::{Bucket, BucketError, Swap};
use crate::state::{ConfigView, KeyvalueView, SignerView};
use bytes::Bytes;
use std::sync::Arc;
use wasmtime::Result;
use wasmtime::component::Resource;

/// Keys in one answer of `list-keys`.
const PAGE: usize = 100;

/// Keys in one batch.
const BATCH: usize = 1_000;

/// Bytes that the host needs for a handle beside what the handle has read.
const HANDLE_BYTES: usize = 256;

impl From<BucketError> for Error {
    fn from(error: BucketError) -> Self {
        match error {
            // What a backend says may name hosts and paths: it is for the host's log.
            BucketError::Backend(detail) => {
                tracing::warn!(target: "tollgate::store", detail, "a store failed");
                Self::Other("the store failed".into())
            }
            BucketError::NoBackend { .. } => Self::NoSuchStore,
            told => Self::Other(told.to_string()),
        }
    }
}

impl KeyvalueView<'_> {
    fn bucket(&self, handle: &Resource<OpenBucket>) -> Result<Arc<dyn Bucket>> {
        Ok(self.table.get(handle)?.0.clone())
    }

    fn count(&mut self, bytes: usize) {
        self.meter.bytes(self.interface, bytes);
    }

    /// Makes a handle that holds what it has read, and counts that as the guest's memory.
    fn cas(&mut self, cas: CasHandle) -> Result<Result<Resource<CasHandle>, Error>> {
        if !self.meter.hold(held(&cas)) {
            return Ok(Err(Error::Other("the memory limit is reached".into())));
        }
        Ok(Ok(self.table.push(cas)?))
    }

    fn forget(&mut self, handle: Resource<CasHandle>) -> Result<CasHandle> {
        let cas = self.table.delete(handle)?;
        self.meter.release(held(&cas));
        Ok(cas)
    }
}

fn held(cas: &CasHandle) -> usize {
    HANDLE_BYTES + cas.key.len() + cas.seen.as_ref().map_or(0, Bytes::len)
}

impl store::Host for KeyvalueView<'_> {
    async fn open(&mut self, identifier: String) -> Result<Result<Resource<OpenBucket>, Error>> {
        match self.stores.0.get(identifier.as_str()) {
            Some(bucket) => Ok(Ok(self.table.push(OpenBucket(bucket.clone()))?)),
            None => Ok(Err(Error::NoSuchStore)),
        }
    }
}

impl store::HostBucket for KeyvalueView<'_> {
    async fn get(
        &mut self,
        handle: Resource<OpenBucket>,
        key: String,
    ) -> Result<Result<Option<Vec<u8>>, Error>> {
        let value = self.bucket(&handle)?.get(&key).await;
        self.count(key.len() + value.as_ref().ok().and_then(Option::as_ref).map_or(0, Bytes::len));
        Ok(value.map(|value| value.map(Vec::from)).map_err(Error::from))
    }

    async fn set(
        &mut self,
        handle: Resource<OpenBucket>,
        key: String,
        value: Vec<u8>,
    ) -> Result<Result<(), Error>> {
        self.count(key.len() + value.len());
        Ok(self.bucket(&handle)?.write(vec![(key, Some(value.into()))]).await.map_err(Error::from))
    }

    async fn delete(&mut self, handle: Resource<OpenBucket>, key: String) -> Result<Result<(), Error>> {
        self.count(key.len());
        Ok(self.bucket(&handle)?.write(vec![(key, None)]).await.map_err(Error::from))
    }

    async fn exists(&mut self, handle: Resource<OpenBucket>, key: String) -> Result<Result<bool, Error>> {
        self.count(key.len());
        Ok(self.bucket(&handle)?.get(&key).await.map(|value| value.is_some()).map_err(Error::from))
    }

    async fn list_keys(
        &mut self,
        handle: Resource<OpenBucket>,
        cursor: Option<String>,
    ) -> Result<Result<KeyResponse, Error>> {
        let page = self.bucket(&handle)?.keys(cursor.as_deref(), PAGE).await;
        self.count(page.as_ref().map_or(0, |page| page.keys.iter().map(String::len).sum()));
        Ok(page.map(|page| KeyResponse { keys: page.keys, cursor: page.next }).map_err(Error::from))
    }

    async fn drop(&mut self, handle: Resource<OpenBucket>) -> Result<()> {
        self.table.delete(handle)?;
        Ok(())
    }
}

impl atomics::Host for KeyvalueView<'_> {
    async fn increment(
        &mut self,
        handle: Resource<OpenBucket>,
        key: String,
        delta: i64,
    ) -> Result<Result<i64, Error>> {
        self.count(key.len() + size_of::<i64>());
        Ok(self.bucket(&handle)?.increment(&key, delta).await.map_err(Error::from))
    }

    async fn swap(&mut self, handle: Resource<CasHandle>, value: Vec<u8>) -> Result<Result<(), CasError>> {
        self.count(value.len());
        let cas = self.forget(handle)?;
        match cas.bucket.swap(&cas.key, cas.seen.as_deref(), value.into()).await {
            Ok(Swap::Done) => Ok(Ok(())),
            Ok(Swap::Lost(seen)) => Ok(Err(match self.cas(CasHandle { seen, ..cas })? {
                Ok(again) => CasError::CasFailed(again),
                Err(error) => CasError::StoreError(error),
            })),
            Err(error) => Ok(Err(CasError::StoreError(error.into()))),
        }
    }
}

impl atomics::HostCas for KeyvalueView<'_> {
    async fn new(
        &mut self,
        handle: Resource<OpenBucket>,
        key: String,
    ) -> Result<Result<Resource<CasHandle>, Error>> {
        let bucket = self.bucket(&handle)?;
        match bucket.get(&key).await {
            Ok(seen) => {
                self.count(key.len() + seen.as_ref().map_or(0, Bytes::len));
                self.cas(CasHandle { bucket, key, seen })
            }
            Err(error) => {
                self.count(key.len());
                Ok(Err(error.into()))
            }
        }
    }

    async fn current(&mut self, handle: Resource<CasHandle>) -> Result<Result<Option<Vec<u8>>, Error>> {
        let seen = self.table.get(&handle)?.seen.clone();
        self.count(seen.as_ref().map_or(0, Bytes::len));
        Ok(Ok(seen.map(Vec::from)))
    }

    async fn drop(&mut self, handle: Resource<CasHandle>) -> Result<()> {
        self.forget(handle)?;
        Ok(())
    }
}

fn too_many(count: usize) -> Option<Error> {
    (count > BATCH).then(|| Error::Other(format!("a batch of {count} keys is more than {BATCH}")))
}

impl batch::Host for KeyvalueView<'_> {
    async fn get_many(
        &mut self,
        handle: Resource<OpenBucket>,
        keys: Vec<String>,
    ) -> Result<Result<Vec<Option<(String, Vec<u8>)>>, Error>> {
        if let Some(error) = too_many(keys.len()) {
            return Ok(Err(error));
        }
        let bucket = self.bucket(&handle)?;
        let most = self.meter.limits().host_call_bytes;
        let (mut values, mut bytes) = (Vec::with_capacity(keys.len()), 0);
        for key in keys {
            let value = match bucket.get(&key).await {
                Ok(value) => value,
                Err(error) => return Ok(Err(error.into())),
            };
            let size = key.len() + value.as_ref().map_or(0, Bytes::len);
            self.count(size);
            bytes += size;
            if bytes > most {
                // The same key a thousand times is a thousand copies.
                return Ok(Err(Error::Other(format!("the batch's values are more than {most} bytes"))));
            }
            values.push(value.map(|value| (key, value.into())));
        }
        Ok(Ok(values))
    }

    async fn set_many(
        &mut self,
        handle: Resource<OpenBucket>,
        pairs: Vec<(String, Vec<u8>)>,
    ) -> Result<Result<(), Error>> {
        if let Some(error) = too_many(pairs.len()) {
            return Ok(Err(error));
        }
        self.count(pairs.iter().map(|(key, value)| key.len() + value.len()).sum());
        let changes = pairs.into_iter().map(|(key, value)| (key, Some(value.into()))).collect();
        Ok(self.bucket(&handle)?.write(changes).await.map_err(Error::from))
    }

    async fn delete_many(
        &mut self,
        handle: Resource<OpenBucket>,
        keys: Vec<String>,
    ) -> Result<Result<(), Error>> {
        if let Some(error) = too_many(keys.len()) {
            return Ok(Err(error));
        }
        self.count(keys.iter().map(String::len).sum());
        let changes = keys.into_iter().map(|key| (key, None)).collect();
        Ok(self.bucket(&handle)?.write(changes).await.map_err(Error::from))
    }
}

impl config::Host for ConfigView<'_> {
    async fn get(&mut self, key: String) -> Result<Result<Option<String>, config::Error>> {
        Ok(Ok(self.values.get(&key).cloned()))
    }

    async fn get_all(&mut self) -> Result<Result<Vec<(String, String)>, config::Error>> {
        Ok(Ok(self.values.iter().map(|(key, value)| (key.clone(), value.clone())).collect()))
    }
}

impl signer::Host for SignerView<'_> {
    async fn verifier_key(&mut self) -> Result<String> {
        Ok(self.signer.map(|signer| signer.verifier_key()).unwrap_or_default())
    }

    async fn sign(&mut self, text: Vec<u8>) -> Result<Result<Vec<u8>, String>> {
        let signer = match self.signer {
            Some(signer) => signer,
            None => return Ok(Err("this host has no signer".into())),
        };
        Ok(signer.sign(&text).map(Vec::from))
    }
}
