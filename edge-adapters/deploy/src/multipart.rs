//! `multipart/form-data` (RFC 7578), as uploads want it.

use bytes::Bytes;
use tollgate_trust::Sha256;

/// One part of a form.
pub(crate) struct Part<'a> {
    /// The field's name: no quotes and no line ends.
    pub(crate) name: &'a str,
    /// The file's name, if it is one.
    pub(crate) file: Option<&'a str>,
    pub(crate) content_type: &'a str,
    pub(crate) bytes: &'a [u8],
}

/// A form as a body, and the header that says what it is. The boundary is the digest of all parts, so no part holds
/// it, and equal forms are equal bytes.
pub(crate) fn encode(parts: &[Part<'_>]) -> (String, Bytes) {
    let digests: Vec<u8> = parts.iter().flat_map(|part| *Sha256::of(part.bytes).as_bytes()).collect();
    let boundary = format!("tollgate-{}", Sha256::of(&digests));
    let mut body = Vec::with_capacity(parts.iter().map(|part| part.bytes.len() + 400).sum());
    for Part { name, file, content_type, bytes } in parts {
        let file = file.map(|file| format!("; filename=\"{file}\"")).unwrap_or_default();
        let head = format!(
            "--{boundary}\r\ncontent-disposition: form-data; name=\"{name}\"{file}\r\ncontent-type: {content_type}\r\n\r\n"
        );
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(bytes);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    (format!("multipart/form-data; boundary={boundary}"), body.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_its_parts_between_boundaries() {
        let metadata = Part { name: "metadata", file: None, content_type: "application/json", bytes: b"{}" };
        let module = Part { name: "a.js", file: Some("a.js"), content_type: "text/plain", bytes: b"a\r\n--" };
        let (kind, body) = encode(&[metadata, module]);
        let boundary = kind.strip_prefix("multipart/form-data; boundary=").unwrap();
        let expected = format!(
            "--{boundary}\r\ncontent-disposition: form-data; name=\"metadata\"\r\ncontent-type: application/json\r\n\r\n{{}}\r\n\
             --{boundary}\r\ncontent-disposition: form-data; name=\"a.js\"; filename=\"a.js\"\r\ncontent-type: text/plain\r\n\r\na\r\n--\r\n\
             --{boundary}--\r\n"
        );
        assert_eq!(String::from_utf8_lossy(&body), expected);
    }
}
