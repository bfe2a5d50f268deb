//! The audit log's directory, as the audit component sees it: a `wasi:keyvalue` store.

use crate::log_store::{LogStore, LogStoreError};
use bytes::Bytes;
use futures::future::BoxFuture;
use std::sync::Arc;
use tollgate_runtime::{Bucket, BucketError, Keys, Swap};

/// A [`LogStore`] behind the runtime's seam. Each call is made on a blocking thread: it waits for the disk.
///
/// The audit component reads, sets in batches and deletes. What it has no use for is refused by name.
pub struct LogBucket(Arc<LogStore>);

impl LogBucket {
    /// The store as a bucket.
    #[must_use]
    pub fn new(store: Arc<LogStore>) -> Self {
        Self(store)
    }

    fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&LogStore) -> Result<T, LogStoreError> + Send + 'static,
    ) -> BoxFuture<'static, Result<T, BucketError>> {
        let store = Arc::clone(&self.0);
        Box::pin(async move {
            let done = tokio::task::spawn_blocking(move || work(&store)).await;
            done.map_err(|error| BucketError::Backend(error.to_string()))?.map_err(failed)
        })
    }
}

/// The whole chain of an error in one line, for the log.
fn failed(error: LogStoreError) -> BucketError {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    BucketError::Backend(text)
}

fn refused<T: Send + 'static>(what: &'static str) -> BoxFuture<'static, Result<T, BucketError>> {
    let error = BucketError::Backend(format!("the audit log's store has no {what}"));
    Box::pin(std::future::ready(Err(error)))
}

impl Bucket for LogBucket {
    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Bytes>, BucketError>> {
        let key = key.to_owned();
        self.run(move |store| Ok(store.get(&key)?.map(Bytes::from)))
    }

    fn write(&self, changes: Vec<(String, Option<Bytes>)>) -> BoxFuture<'_, Result<(), BucketError>> {
        let (mut set, mut deleted) = (Vec::new(), Vec::new());
        for (key, value) in changes {
            match value {
                Some(value) => set.push((key, Vec::from(value))),
                None => deleted.push(key),
            }
        }
        if !set.is_empty() && !deleted.is_empty() {
            return refused("batch that both sets and deletes");
        }
        self.run(
            move |store| if deleted.is_empty() { store.set_many(set) } else { store.delete_many(&deleted) },
        )
    }

    fn keys<'a>(&'a self, _: Option<&'a str>, _: usize) -> BoxFuture<'a, Result<Keys, BucketError>> {
        refused("list of keys")
    }

    fn swap<'a>(
        &'a self,
        _: &'a str,
        _: Option<&'a [u8]>,
        _: Bytes,
    ) -> BoxFuture<'a, Result<Swap, BucketError>> {
        refused("compare-and-swap")
    }

    fn increment<'a>(&'a self, _: &'a str, _: i64) -> BoxFuture<'a, Result<i64, BucketError>> {
        refused("increment")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_log_reads_sets_in_batches_and_deletes() {
        let folder = tempfile::tempdir().unwrap();
        let bucket = LogBucket::new(Arc::new(LogStore::open(folder.path()).unwrap()));
        let set = |key: &str| (key.to_owned(), Some(Bytes::from_static(b"v")));
        bucket.write(vec![set("tile/0/000"), set("checkpoint")]).await.unwrap();
        assert_eq!(bucket.get("checkpoint").await.unwrap().as_deref(), Some(b"v".as_slice()));
        bucket.write(vec![("tile/0/000".to_owned(), None)]).await.unwrap();
        assert_eq!(bucket.get("tile/0/000").await.unwrap(), None);
        assert!(bucket.write(vec![set("checkpoint"), ("tile/0/000".to_owned(), None)]).await.is_err());
        assert!(bucket.swap("checkpoint", None, Bytes::new()).await.is_err());
    }
}
