//! Readers: a few connections, each used by one read at a time on a blocking thread.

use super::super::totals::ENTRY_BYTES;
use super::super::usage::{Hour, UsageTotals};
use super::{Place, SqliteError, schema};
use bytes::Bytes;
use parking_lot::Mutex;
use rusqlite::{Connection, OptionalExtension, Row, named_params};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use tokio::sync::Semaphore;
use tollgate_runtime::{BucketError, Keys, Name};

const READERS: usize = 4;

pub(super) struct Readers {
    free: Arc<Mutex<Vec<Connection>>>,
    places: Arc<Semaphore>,
}

impl Readers {
    pub(super) fn open(path: &Path) -> Result<Self, SqliteError> {
        let free: Vec<_> = (0..READERS).map(|_| schema::open_reader(path)).collect::<Result<_, _>>()?;
        Ok(Self { free: Arc::new(Mutex::new(free)), places: Arc::new(Semaphore::new(READERS)) })
    }

    /// Waits for a connection and reads with it, on a blocking thread.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, rusqlite::Error> + Send + 'static,
    ) -> Result<T, BucketError> {
        let place = Arc::clone(&self.places).acquire_owned().await.map_err(|_| SqliteError::Gone)?;
        let free = Arc::clone(&self.free);
        let task = tokio::task::spawn_blocking(move || {
            // There are as many places as connections, and a connection goes back before its place does.
            let Some(connection) = free.lock().pop() else { return Err(SqliteError::Gone) };
            let result = read(&connection);
            free.lock().push(connection);
            drop(place);
            Ok(result?)
        });
        Ok(task.await.map_err(|_| SqliteError::Gone)??)
    }
}

/// What every store holds, by its books of bytes and the index of its keys: no value is read.
pub(super) fn held(connection: &Connection) -> Result<Vec<(Place, u64)>, rusqlite::Error> {
    let mut statement = connection.prepare(
        "SELECT tenant, name, bytes, (SELECT count(*) FROM entries WHERE store = stores.id) FROM stores",
    )?;
    let mut rows = statement.query(())?;
    let mut held = Vec::new();
    while let Some(row) = rows.next()? {
        let number = |column| row.get::<_, i64>(column).map(i64::unsigned_abs);
        let bytes = number(2)?.saturating_add(number(3)?.saturating_mul(ENTRY_BYTES));
        let names = (Name::new(&row.get::<_, String>(0)?), Name::new(&row.get::<_, String>(1)?));
        // Others can't be opened.
        if let (Ok(tenant), Ok(store)) = names {
            held.push((Place { tenant, store }, bytes));
        }
    }
    Ok(held)
}

pub(super) fn value(
    connection: &Connection,
    place: &Place,
    key: &str,
) -> Result<Option<Bytes>, rusqlite::Error> {
    let mut statement = connection.prepare_cached(
        "SELECT value FROM entries JOIN stores ON stores.id = entries.store
         WHERE tenant = :tenant AND name = :store AND key = :key",
    )?;
    let names = named_params! {
        ":tenant": place.tenant.as_str(), ":store": place.store.as_str(), ":key": key.as_bytes()
    };
    statement.query_row(names, |row| row.get::<_, Vec<u8>>(0)).optional().map(|value| value.map(Bytes::from))
}

pub(super) fn keys(
    connection: &Connection,
    place: &Place,
    after: Option<&str>,
    limit: usize,
) -> Result<Keys, rusqlite::Error> {
    let mut statement = connection.prepare_cached(match after {
        Some(_) => "SELECT key FROM entries WHERE store = (SELECT id FROM stores WHERE tenant = :tenant AND name = :store)
            AND key > :after ORDER BY key LIMIT :limit",
        // The empty BLOB is the least key.
        None => "SELECT key FROM entries WHERE store = (SELECT id FROM stores WHERE tenant = :tenant AND name = :store)
            AND key >= :after ORDER BY key LIMIT :limit",
    })?;
    let one_more = i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1);
    let names = named_params! {
        ":tenant": place.tenant.as_str(),
        ":store": place.store.as_str(),
        ":after": after.unwrap_or_default().as_bytes(),
        ":limit": one_more,
    };
    let rows = statement.query_map(names, |row| row.get::<_, Vec<u8>>(0))?;
    let mut keys = Vec::new();
    for key in rows {
        // Written from a `String`, so always UTF-8 unless the file was tampered with.
        keys.push(
            String::from_utf8(key?).map_err(|error| rusqlite::Error::Utf8Error(0, error.utf8_error()))?,
        );
    }
    let more = keys.len() > limit;
    keys.truncate(limit);
    let next = if more { keys.last().cloned() } else { None };
    Ok(Keys { keys, next })
}

pub(super) fn usage(
    connection: &Connection,
    tenant: &Name,
    first: Hour,
    last: Hour,
) -> Result<BTreeMap<Hour, UsageTotals>, rusqlite::Error> {
    let mut statement = connection.prepare_cached(
        "SELECT hour, requests, gas, bytes_in, bytes_out FROM usage
         WHERE tenant = ?1 AND hour BETWEEN ?2 AND ?3 ORDER BY hour",
    )?;
    let rows = statement
        .query_map((tenant.as_str(), first.0, last.0), |row| Ok((Hour(row.get(0)?), totals(row)?)))?;
    rows.collect()
}

/// What each tenant used in one hour.
pub(super) fn usage_of_hour(
    connection: &Connection,
    hour: Hour,
) -> Result<BTreeMap<Name, UsageTotals>, rusqlite::Error> {
    let mut statement = connection
        .prepare_cached("SELECT tenant, requests, gas, bytes_in, bytes_out FROM usage WHERE hour = ?1")?;
    let mut rows = statement.query((hour.0,))?;
    let mut used = BTreeMap::new();
    while let Some(row) = rows.next()? {
        // Under other names nothing was ever added.
        if let Ok(tenant) = Name::new(&row.get::<_, String>(0)?) {
            used.insert(tenant, totals(row)?);
        }
    }
    Ok(used)
}

/// The sums in a row, behind its first column.
fn totals(row: &Row<'_>) -> Result<UsageTotals, rusqlite::Error> {
    let number = |column| row.get::<_, i64>(column).map(i64::unsigned_abs);
    Ok(UsageTotals { requests: number(1)?, gas: number(2)?, bytes_in: number(3)?, bytes_out: number(4)? })
}
