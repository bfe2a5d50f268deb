//! The database's layout, and how a connection to it is set up.

use super::SqliteError;
use rusqlite::{Connection, OpenFlags};
use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

/// The layout that this host writes, in `user_version`.
const LAYOUT: i64 = 1;

/// How long a statement waits for another process, such as a back-up, that holds the database.
const BUSY: Duration = Duration::from_secs(5);

/// A value may be a mebibyte, so rows live in an ordinary table and the key in an index. The keys are BLOBs: they
/// sort by their bytes, and a zero byte is nothing special.
const TABLES: &str = "
    CREATE TABLE stores (
        id INTEGER PRIMARY KEY,
        tenant TEXT NOT NULL,
        name TEXT NOT NULL,
        bytes INTEGER NOT NULL DEFAULT 0,
        UNIQUE (tenant, name)
    ) STRICT;
    CREATE TABLE entries (
        id INTEGER PRIMARY KEY,
        store INTEGER NOT NULL REFERENCES stores (id),
        key BLOB NOT NULL,
        value BLOB NOT NULL,
        written INTEGER NOT NULL,
        UNIQUE (store, key)
    ) STRICT;
    CREATE TABLE usage (
        tenant TEXT NOT NULL,
        hour INTEGER NOT NULL,
        requests INTEGER NOT NULL,
        gas INTEGER NOT NULL,
        bytes_in INTEGER NOT NULL,
        bytes_out INTEGER NOT NULL,
        PRIMARY KEY (tenant, hour)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE probe (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        count INTEGER NOT NULL
    ) STRICT;
    INSERT INTO probe VALUES (1, 0);
";

/// The writer's connection, to a database that has our layout.
pub(super) fn open(path: &Path) -> Result<Connection, SqliteError> {
    let failed = |cause: String| SqliteError::Open { path: path.to_owned(), cause };
    // SQLite gives its WAL the database's own mode, so the file is made before SQLite sees it.
    let made = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path);
    made.map_err(|error| failed(error.to_string()))?;
    let mut connection = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )
    .map_err(|error| failed(error.to_string()))?;
    set_up(&connection).map_err(|error| failed(error.to_string()))?;
    let found = layout(&connection).map_err(|error| failed(error.to_string()))?;
    match found {
        0 => lay(&mut connection).map_err(|error| failed(error.to_string()))?,
        LAYOUT => {}
        found => return Err(SqliteError::Later { path: path.to_owned(), found, known: LAYOUT }),
    }
    // The file's own name must survive a power cut too.
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(parent)
        .and_then(|directory| directory.sync_all())
        .map_err(|error| failed(error.to_string()))?;
    Ok(connection)
}

/// A reader's connection.
pub(super) fn open_reader(path: &Path) -> Result<Connection, SqliteError> {
    let failed =
        |error: rusqlite::Error| SqliteError::Open { path: path.to_owned(), cause: error.to_string() };
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(failed)?;
    set_up(&connection).map_err(failed)?;
    connection.pragma_update(None, "query_only", true).map_err(failed)?;
    Ok(connection)
}

fn set_up(connection: &Connection) -> Result<(), rusqlite::Error> {
    connection.busy_timeout(BUSY)?;
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    // FULL syncs the WAL at every commit; NORMAL would lose the last ones in a power cut.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.pragma_update_and_check(None, "journal_size_limit", 64 << 20, |_| Ok(()))?;
    connection.set_prepared_statement_cache_capacity(32);
    Ok(())
}

fn layout(connection: &Connection) -> Result<i64, rusqlite::Error> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

fn lay(connection: &mut Connection) -> Result<(), rusqlite::Error> {
    let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    // Another process may have been first.
    if layout(&transaction)? == 0 {
        transaction.execute_batch(TABLES)?;
        transaction.pragma_update(None, "user_version", LAYOUT)?;
    }
    transaction.commit()
}
