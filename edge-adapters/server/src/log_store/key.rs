//! Which keys a log has.

use super::LogStoreError;

/// Longer than any tile key of a log with 2^64 records.
const MAX_KEY_BYTES: usize = 96;

/// Checks that a key is a relative path of lower-case letters, digits and dots whose parts do not begin with a dot. So
/// no key leaves the directory, and none meets a file of the store's own.
pub(super) fn check(key: &str) -> Result<(), LogStoreError> {
    let part_is_good = |part: &str| {
        !part.is_empty()
            && !part.starts_with('.')
            && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'.')
    };
    if key.len() <= MAX_KEY_BYTES && key.split('/').all(part_is_good) {
        Ok(())
    } else {
        // What was asked may be anything: the message shows its beginning only, and escaped.
        Err(LogStoreError::Key(key.chars().take(MAX_KEY_BYTES).flat_map(char::escape_default).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn keys_of_logs_pass() {
        for key in ["checkpoint", "tile/0/000", "tile/63/x018/x446/744.p/255", "tile/entries/x001/067"] {
            assert!(check(key).is_ok(), "{key}");
        }
    }

    #[test]
    fn what_could_leave_the_directory_or_meet_our_own_files_does_not_pass() {
        for key in [
            "",
            "/",
            "/etc/passwd",
            "tile/",
            "tile//0",
            "..",
            "tile/../x",
            ".journal",
            "tile/.x",
            "Tile",
            "a b",
            "a\\b",
            "a\0b",
            "é",
            "con:",
            "tile/0/000.p/12/",
        ] {
            assert!(check(key).is_err(), "{key:?}");
        }
        assert!(check(&"a".repeat(97)).is_err());
    }
}
