use std::fs;

use proptest::prelude::*;

use super::*;

fn ids(book: &OpenBook) -> Vec<String> {
    book.recover().into_iter().map(|request| request.request_id).collect()
}

#[test]
fn a_killed_host_finds_the_requests_that_it_had_not_closed() {
    let dir = tempfile::tempdir().unwrap();
    let book = OpenBook::open(dir.path(), 70).unwrap();
    assert!(book.recover().is_empty());
    book.open_entry("one", b"first").unwrap();
    book.open_entry("two", b"second").unwrap();
    book.closed(&["one", "unknown"], 71).unwrap();
    book.open_entry("three", b"").unwrap();
    drop(book);
    let book = OpenBook::open(dir.path(), 71).unwrap();
    book.open_entry("four", b"of this run").unwrap();
    let request = |request_id: &str, log_size, bytes: &[u8]| OpenedRequest {
        request_id: request_id.into(),
        log_size,
        bytes: bytes.into(),
    };
    assert_eq!(book.recover(), [request("two", 70, b"second"), request("three", 71, b"")]);
    book.closed(&["two"], 72).unwrap();
    assert_eq!(ids(&book), ["three"]);
    drop(book);
    assert_eq!(ids(&OpenBook::open(dir.path(), 72).unwrap()), ["three", "four"]);
}

#[test]
fn a_second_opening_is_refused_while_the_first_lasts() {
    let dir = tempfile::tempdir().unwrap();
    let _book = OpenBook::open(dir.path(), 0).unwrap();
    assert!(matches!(OpenBook::open(dir.path(), 0), Err(OpenBookError::Locked(_))));
}

#[test]
fn a_request_is_open_once_and_a_note_is_bounded() {
    let dir = tempfile::tempdir().unwrap();
    let book = OpenBook::open(dir.path(), 0).unwrap();
    book.open_entry("one", b"").unwrap();
    assert!(matches!(book.open_entry("one", b""), Err(OpenBookError::Duplicate(id)) if id == "one"));
    assert!(matches!(book.open_entry("two", &[0; 65_535]), Err(OpenBookError::TooLarge(65_538))));
    book.open_entry("two", &[0; 65_532]).unwrap();
    let full = (0..300).find_map(|i| book.open_entry(&format!("{i:03}"), &[0; 65_500]).err());
    assert!(matches!(full, Some(OpenBookError::Full)));
    book.closed(&["000"], 1).unwrap();
    book.open_entry("000", b"").unwrap();
}

#[test]
fn the_book_stays_small_while_requests_come_and_go_beside_one_that_stays() {
    let dir = tempfile::tempdir().unwrap();
    let book = OpenBook::open(dir.path(), 0).unwrap();
    book.open_entry("stays", b"kept").unwrap();
    let mut longest = 0;
    for number in 0..40_000_u64 {
        let id = format!("{number:032x}");
        book.open_entry(&id, &[b'x'; 300]).unwrap();
        book.closed(&[&id], number + 1).unwrap();
        if number % 1000 == 0 {
            longest = longest.max(fs::metadata(dir.path().join(".open")).unwrap().len());
        }
    }
    assert!(longest > BOOK_BYTES / 2 && longest < BOOK_BYTES + 1024, "{longest}");
    drop(book);
    let book = OpenBook::open(dir.path(), 40_000).unwrap();
    assert_eq!(ids(&book), ["stays"]);
    assert!(fs::metadata(dir.path().join(".open")).unwrap().len() < 100);
}

#[test]
fn a_copy_that_fails_leaves_the_book_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let book = OpenBook::open(dir.path(), 0).unwrap();
    // A directory of the new file's name cannot be removed as a file.
    fs::create_dir(dir.path().join(".open.new")).unwrap();
    book.book.lock().copy_at = 100;
    for number in 0..10 {
        book.open_entry(&format!("{number}"), &[b'x'; 50]).unwrap();
    }
    for number in 0..9 {
        book.closed(&[&format!("{number}")], 1).unwrap();
    }
    fs::remove_dir(dir.path().join(".open.new")).unwrap();
    drop(book);
    assert_eq!(ids(&OpenBook::open(dir.path(), 1).unwrap()), ["9"]);
}

#[test]
fn threads_share_a_book() {
    let dir = tempfile::tempdir().unwrap();
    let book = OpenBook::open(dir.path(), 0).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let book = &book;
            scope.spawn(move || {
                for number in 0..200 {
                    let id = format!("{thread}-{number}");
                    book.open_entry(&id, id.as_bytes()).unwrap();
                    if number % 2 == 0 {
                        book.closed(&[&id], 1).unwrap();
                    }
                }
            });
        }
    });
    drop(book);
    let left = OpenBook::open(dir.path(), 0).unwrap().recover();
    assert_eq!(left.len(), 400);
    assert!(left.iter().all(|request| request.bytes == request.request_id.as_bytes()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn a_torn_end_loses_no_more_than_what_it_held(steps in prop::collection::vec((0_u8..6, any::<bool>()), 1..30)) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(".open");
        let book = OpenBook::open(dir.path(), 0).unwrap();
        // What is open after each frame, by where the frame ends.
        let mut open: Vec<String> = Vec::new();
        let mut states = vec![(0, open.clone())];
        for (id, close) in steps {
            let id = id.to_string();
            if close {
                book.closed(&[&id], 1).unwrap();
                open.retain(|other| *other != id);
            } else if book.open_entry(&id, &[id.len() as u8; 5]).is_ok() {
                open.push(id);
            }
            states.push((fs::metadata(&path).unwrap().len() as usize, open.clone()));
        }
        drop(book);
        let bytes = fs::read(&path).unwrap();
        for end in 0..=bytes.len() {
            fs::write(&path, &bytes[..end]).unwrap();
            let book = OpenBook::open(dir.path(), 0).unwrap();
            let expected = states.iter().rev().find(|(at, _)| *at <= end).map(|(_, open)| open.clone());
            prop_assert_eq!(Some(ids(&book)), expected);
            // New notes behind the torn end are found.
            book.open_entry("new", b"").unwrap();
            drop(book);
            let found = ids(&OpenBook::open(dir.path(), 0).unwrap());
            prop_assert_eq!(found.last().map(String::as_str), Some("new"));
        }
    }

    #[test]
    fn no_bytes_in_the_file_stop_the_book_from_opening(bytes: Vec<u8>) {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(".open"), bytes).unwrap();
        prop_assert!(OpenBook::open(dir.path(), 0).unwrap().recover().is_empty());
    }
}
