use super::*;
use crate::sign::{countersign, sign};
use crate::testing::{COMPONENT, acme, chain, key, now, release};
use std::fs;

const LIMIT: usize = 1024;

#[test]
fn the_envelope_lies_beside_its_component() {
    assert_eq!(envelope_path(Path::new("apps/web.wasm")), Path::new("apps/web.wasm.dsse.json"));
}

#[test]
fn a_signed_file_is_verified_and_a_second_signature_takes_the_place_of_the_first_envelope() {
    let dir = tempfile::tempdir().unwrap();
    let web = dir.path().join("web.wasm");
    fs::write(&web, COMPONENT).unwrap();
    let envelope = sign(COMPONENT, release(), &key("one")).unwrap();
    assert_eq!(write_envelope(&web, &envelope).unwrap(), envelope_path(&web));
    let mut envelope = read_envelope(&web).unwrap();
    countersign(&mut envelope, COMPONENT, &key("two")).unwrap();
    write_envelope(&web, &envelope).unwrap();
    let verified = verify_file(&web, LIMIT, &acme(&["one", "two"], 2), now()).unwrap();
    assert_eq!(verified.bytes(), COMPONENT);
}

#[test]
fn refusals_name_the_file_and_the_fix() {
    let dir = tempfile::tempdir().unwrap();
    let web = dir.path().join("web.wasm");
    let root = acme(&["one"], 1);
    let message = |limit| {
        let error = verify_file(&web, limit, &root, now()).unwrap_err();
        chain(&error).replace(&dir.path().display().to_string(), "DIR")
    };
    assert_eq!(message(LIMIT), "file `DIR/web.wasm` cannot be read: No such file or directory (os error 2)");
    fs::write(&web, COMPONENT).unwrap();
    assert_eq!(
        message(LIMIT),
        "component `DIR/web.wasm` is refused: it is not signed, there is no `DIR/web.wasm.dsse.json`: sign it with `tollgate sign DIR/web.wasm --key KEY --package NAMESPACE:NAME@VERSION`"
    );
    fs::write(envelope_path(&web), "{").unwrap();
    assert_eq!(
        message(LIMIT),
        "component `DIR/web.wasm` is refused: its signature cannot be read: sign it again with `tollgate sign`: envelope is not well-formed: EOF while parsing an object at line 1 column 1"
    );
    fs::write(envelope_path(&web), vec![b' '; MAX_ENVELOPE_BYTES + 1]).unwrap();
    assert_eq!(
        message(LIMIT),
        "component `DIR/web.wasm` is refused: its signature cannot be read: sign it again with `tollgate sign`: envelope has more than 1048576 bytes"
    );
    write_envelope(&web, &sign(COMPONENT, release(), &key("one")).unwrap()).unwrap();
    assert_eq!(
        message(COMPONENT.len() - 1),
        "component `DIR/web.wasm` has more than 31 bytes, the limit for components"
    );
    assert!(verify_file(&web, COMPONENT.len(), &root, now()).is_ok());
    assert!(verify_file(&web, usize::MAX, &root, now()).is_ok());
}
