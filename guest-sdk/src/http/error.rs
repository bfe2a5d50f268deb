use std::fmt;
use wasip3::http::types::ErrorCode;

/// Why a request to another server, or the reading of a body, failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// The request cannot be sent as it is; the text says why.
    Invalid(String),
    /// The app's grants do not allow this destination, or its address is one that no app may reach.
    Denied,
    /// The destination was not found, or did not take the connection; the text is the host's reason.
    Unreachable(String),
    /// The destination took too long.
    Timeout,
    /// The message broke off before it was whole; the text is the host's reason.
    Interrupted(String),
    /// The body has more bytes than the limit that was given.
    TooLarge,
    /// The body is not of the form that was asked for: no UTF-8, or no JSON of this shape; the text says where.
    Unreadable(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(text) => write!(f, "the request cannot be sent: {text}"),
            Self::Denied => {
                f.write_str("this app may not reach the destination: grant it in the app's configuration")
            }
            Self::Unreachable(text) => write!(f, "the destination cannot be reached: {text}"),
            Self::Timeout => f.write_str("the destination took too long"),
            Self::Interrupted(text) => write!(f, "the message broke off: {text}"),
            Self::TooLarge => f.write_str("the body is larger than allowed"),
            Self::Unreadable(text) => write!(f, "the body is not of the expected form: {text}"),
        }
    }
}

impl std::error::Error for Error {}

impl From<ErrorCode> for Error {
    fn from(code: ErrorCode) -> Self {
        use ErrorCode as Code;
        match code {
            Code::HttpRequestDenied | Code::DestinationIpProhibited => Self::Denied,
            Code::DnsTimeout
            | Code::ConnectionTimeout
            | Code::ConnectionReadTimeout
            | Code::ConnectionWriteTimeout
            | Code::HttpResponseTimeout => Self::Timeout,
            Code::DnsError(_)
            | Code::DestinationNotFound
            | Code::DestinationUnavailable
            | Code::DestinationIpUnroutable
            | Code::ConnectionRefused
            | Code::ConnectionLimitReached
            | Code::TlsProtocolError
            | Code::TlsCertificateError
            | Code::TlsAlertReceived(_) => Self::Unreachable(reason(&code)),
            Code::HttpRequestLengthRequired
            | Code::HttpRequestBodySize(_)
            | Code::HttpRequestMethodInvalid
            | Code::HttpRequestUriInvalid
            | Code::HttpRequestUriTooLong
            | Code::HttpRequestHeaderSectionSize(_)
            | Code::HttpRequestHeaderSize(_)
            | Code::HttpRequestTrailerSectionSize(_)
            | Code::HttpRequestTrailerSize(_)
            | Code::LoopDetected
            | Code::ConfigurationError => Self::Invalid(reason(&code)),
            _ => Self::Interrupted(reason(&code)),
        }
    }
}

/// The code in the words of `wasi:http`: `connection-refused`, with what comes with it.
fn reason(code: &ErrorCode) -> String {
    if let ErrorCode::InternalError(Some(text)) = code {
        return text.clone();
    }
    let shown = format!("{code:?}");
    let shown = shown.strip_prefix("ErrorCode::").unwrap_or(&shown);
    let (name, rest) = shown.split_at(shown.find(|c: char| !c.is_alphanumeric()).unwrap_or(shown.len()));
    let mut text = String::new();
    for (place, letter) in name.chars().enumerate() {
        if letter.is_uppercase() && place > 0 {
            text.push('-');
        }
        text.extend(letter.to_lowercase());
    }
    text + rest
}

#[cfg(test)]
mod tests {
    use super::{Error, ErrorCode};

    #[test]
    fn a_reason_is_in_the_words_of_wasi_http() {
        let error = Error::from(ErrorCode::ConnectionRefused);
        assert_eq!(error.to_string(), "the destination cannot be reached: connection-refused");
        let error = Error::from(ErrorCode::InternalError(Some("the cable is out".to_owned())));
        assert_eq!(error.to_string(), "the message broke off: the cable is out");
    }

    #[test]
    fn a_denied_destination_says_what_to_do() {
        assert_eq!(Error::from(ErrorCode::HttpRequestDenied), Error::Denied);
    }
}
