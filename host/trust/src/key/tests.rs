use super::*;
use crate::testing::{chain, key, openssl};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

fn bytes(hex: &str) -> Vec<u8> {
    if hex == "-" { Vec::new() } else { hex::decode(hex).unwrap() }
}

fn array<const N: usize>(hex: &str) -> [u8; N] {
    bytes(hex).try_into().unwrap()
}

/// The lines of a file of vectors, in words.
fn vectors(text: &str) -> impl Iterator<Item = Vec<&str>> {
    text.lines().filter(|line| !line.starts_with('#')).map(|line| line.split(' ').collect())
}

/// The order of the base point, little endian: 2^252 + 27742317777372353535851937790883648493.
const L: &str = "edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010";

#[test]
fn rfc_8032_vectors_are_signed_and_verified_to_the_byte() {
    let mut count = 0;
    for vector in vectors(include_str!("../../testdata/rfc8032.txt")) {
        let [seed, public, message, signature] = vector[..] else { panic!("{vector:?}") };
        let (message, signature) = (bytes(message), bytes(signature));
        let key = SigningKey::from_seed(&array(seed));
        assert_eq!(hex::encode(key.public().to_bytes()), public);
        assert_eq!(key.sign(&message).to_vec(), signature);
        assert!(PublicKey::from_bytes(&array(public)).unwrap().verifies(&message, &signature));
        count += 1;
    }
    assert_eq!(count, 5);
}

#[test]
fn wycheproof_cases_are_judged_as_their_authors_judge_them() {
    let mut count = 0;
    for case in vectors(include_str!("../../testdata/wycheproof-ed25519.txt")) {
        let [id, result, public, message, signature] = case[..] else { panic!("{case:?}") };
        let verified = PublicKey::from_bytes(&array(public))
            .is_ok_and(|key| key.verifies(&bytes(message), &bytes(signature)));
        assert_eq!(verified, result == "valid", "case {id}");
        count += 1;
    }
    assert_eq!(count, 151);
}

/// Adding the group's order to S gives a second signature of the same message. It would be accepted if any
/// crate of the build switched ed25519-dalek's `legacy_compatibility` on.
#[test]
fn a_signature_with_an_unreduced_scalar_is_refused() {
    let key = key("one");
    let mut signature = key.sign(b"message");
    assert!(key.public().verifies(b"message", &signature));
    let mut carry = 0;
    for (byte, order) in signature[32..].iter_mut().zip(array::<32>(L)) {
        let sum = u16::from(*byte) + u16::from(order) + carry;
        *byte = (sum & 0xff) as u8;
        carry = sum >> 8;
    }
    assert_eq!(carry, 0);
    assert!(!key.public().verifies(b"message", &signature));
}

#[test]
fn public_keys_of_small_order_are_refused() {
    let points = [
        "0100000000000000000000000000000000000000000000000000000000000000",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0000000000000000000000000000000000000000000000000000000000000080",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
    ];
    for point in points {
        assert_eq!(PublicKey::from_bytes(&array(point)), Err(KeyError::Weak), "{point}");
        let mut der = SPKI_PREFIX.to_vec();
        der.extend(bytes(point));
        let pem = format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(der));
        assert_eq!(PublicKey::from_pem(&pem), Err(KeyError::Weak), "{point}");
    }
}

/// The 19 values of y that 255 bits can hold beside their reduced form, with either sign of x.
#[test]
fn a_point_has_one_encoding() {
    for low in 0xed..=0xff {
        for high in [0x7f, 0xff] {
            let mut point = [0xff; 32];
            (point[0], point[31]) = (low, high);
            assert!(PublicKey::from_bytes(&point).is_err(), "{}", hex::encode(point));
        }
    }
}

#[test]
fn openssl_reads_our_keys_and_names_them_alike() {
    let dir = tempfile::tempdir().unwrap();
    let key = SigningKey::generate().unwrap();
    key.write_new(&dir.path().join("ours.pem")).unwrap();
    key.public().write_new(&dir.path().join("ours.pub")).unwrap();
    let public = openssl(dir.path(), "pkey -in ours.pem -pubout");
    assert_eq!(String::from_utf8(public).unwrap(), key.public().to_pem());
    let der = openssl(dir.path(), "pkey -pubin -in ours.pub -outform DER");
    assert_eq!(Sha256::of(&der).to_string(), key.public().id().to_string());
    // To the byte as OpenSSL itself would write it.
    let private = openssl(dir.path(), "pkey -in ours.pem");
    assert_eq!(String::from_utf8(private).unwrap(), *key.to_pem());
}

#[test]
fn we_read_openssl_keys() {
    let dir = tempfile::tempdir().unwrap();
    openssl(dir.path(), "genpkey -algorithm ed25519 -out theirs.pem");
    openssl(dir.path(), "pkey -in theirs.pem -pubout -out theirs.pub");
    let path = dir.path().join("theirs.pem");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let key = SigningKey::read(&path).unwrap();
    assert_eq!(key.public(), PublicKey::read(&dir.path().join("theirs.pub")).unwrap());
}

#[test]
fn a_private_key_file_is_its_owners_and_is_never_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("key.pem");
    key("one").write_new(&path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
    let error = key("two").write_new(&path).unwrap_err();
    assert!(matches!(error, KeyFileError::Exists { .. }));
    assert_eq!(SigningKey::read(&path).unwrap().public(), key("one").public());
    for mode in [0o640, 0o604, 0o620, 0o601] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let message = chain(&SigningKey::read(&path).unwrap_err());
        let path = path.display();
        assert_eq!(
            message,
            format!(
                "private key file `{path}` can be read or written by others (mode {mode:04o}): run `chmod 600 {path}`"
            )
        );
    }
}

#[test]
fn a_key_of_the_wrong_kind_is_named_as_such() {
    let dir = tempfile::tempdir().unwrap();
    let (private, public, rsa) = (dir.path().join("k"), dir.path().join("k.pub"), dir.path().join("rsa"));
    key("one").write_new(&private).unwrap();
    key("one").public().write_new(&public).unwrap();
    openssl(dir.path(), "genpkey -algorithm ec -pkeyopt ec_paramgen_curve:P-256 -out rsa");
    for path in [&public, &rsa] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    }
    let kind = |error| match error {
        KeyFileError::Key { source, .. } => source,
        other => panic!("{other:?}"),
    };
    assert_eq!(kind(PublicKey::read(&private).unwrap_err()), KeyError::PrivateAsPublic);
    assert_eq!(kind(SigningKey::read(&public).unwrap_err()), KeyError::NotPrivate);
    assert_eq!(kind(SigningKey::read(&rsa).unwrap_err()), KeyError::NotPrivate);
    let message = chain(&SigningKey::read(&dir.path().join("none")).unwrap_err());
    assert!(message.ends_with("none` cannot be read: No such file or directory (os error 2)"), "{message}");
}

#[test]
fn an_endless_key_file_is_not_read_to_the_end() {
    assert!(matches!(
        PublicKey::read(std::path::Path::new("/dev/zero")).unwrap_err(),
        KeyFileError::Io { source, .. } if source.kind() == std::io::ErrorKind::FileTooLarge
    ));
}

#[test]
fn a_private_key_is_never_shown() {
    let key = key("one");
    assert_eq!(format!("{key:?}"), format!("SigningKey({})", key.public().id()));
}

proptest::proptest! {
    #[test]
    fn no_text_makes_a_key_reader_panic(text in ".{0,200}") {
        let _ = PublicKey::from_pem(&text);
        let _ = SigningKey::from_pem(&text);
    }

    #[test]
    fn no_signature_bytes_make_verification_panic(signature: Vec<u8>, point: [u8; 32]) {
        proptest::prop_assert!(!key("one").public().verifies(b"message", &signature));
        let _ = PublicKey::from_bytes(&point);
    }
}
