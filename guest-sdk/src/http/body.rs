//! Bodies, in and out.

use super::Error;
use std::future::Future;
use std::pin::Pin;
use wasip3::http::types::{ErrorCode, Trailers};
use wasip3::wit_bindgen::{FutureReader, FutureWriter, StreamReader, StreamResult, StreamWriter};
use wasip3::{wit_future, wit_stream};

/// How many bytes of a body are read at once.
const CHUNK_BYTES: usize = 64 * 1024;

/// What stands at a body's end: its trailers, or why it broke off.
pub(super) type Ending = FutureReader<Result<Option<Trailers>, ErrorCode>>;

type Producer = Box<dyn FnOnce(BodyWriter) -> Pin<Box<dyn Future<Output = Result<(), Closed>>>>>;

/// The body of a request or a response: whole in memory, arriving, or made while it is sent.
///
/// ```
/// use tollgate_sdk::http::Body;
///
/// let nothing = Body::empty();
/// let text = Body::from("hello");
/// let numbers = Body::stream(|mut body| async move {
///     for number in 0..1000 {
///         body.write(format!("{number}\n")).await?;
///     }
///     Ok(())
/// });
/// ```
pub struct Body(pub(super) Content);

pub(super) enum Content {
    Full(Vec<u8>),
    Arriving(Arriving),
    Made(Producer),
}

/// A body that comes from the host.
pub(super) struct Arriving {
    stream: StreamReader<u8>,
    /// None when it was read.
    ending: Option<Ending>,
    /// Tells the host how reading went. It is dropped unwritten, which says that all went well.
    _read: FutureWriter<Result<(), ErrorCode>>,
}

impl Body {
    /// No bytes.
    pub fn empty() -> Self {
        Self(Content::Full(Vec::new()))
    }

    /// A body that is made while it is sent: `produce` writes it, piece by piece, and the next piece is asked for
    /// when the one before was taken. It runs after the handler returned.
    ///
    /// When `produce` returns an error, the receiver sees a body that broke off, not one that looks whole.
    ///
    /// ```
    /// use tollgate_sdk::http::Body;
    ///
    /// let zeros = Body::stream(|mut body| async move {
    ///     for _ in 0..1024 {
    ///         body.write(vec![0; 65_536]).await?;
    ///     }
    ///     Ok(())
    /// });
    /// ```
    pub fn stream<P, F>(produce: P) -> Self
    where
        P: FnOnce(BodyWriter) -> F + 'static,
        F: Future<Output = Result<(), Closed>> + 'static,
    {
        Self(Content::Made(Box::new(|writer| Box::pin(produce(writer)))))
    }

    pub(super) fn arriving(
        stream: StreamReader<u8>,
        ending: Ending,
        read: FutureWriter<Result<(), ErrorCode>>,
    ) -> Self {
        Self(Content::Arriving(Arriving { stream, ending: Some(ending), _read: read }))
    }

    /// The next piece of an arriving body, at most 64 KiB; none at its end. Of a body in memory, all of it.
    ///
    /// # Errors
    /// [`Error::Interrupted`] if the body broke off; [`Error::Unreadable`] for a body of [`Body::stream`], which is
    /// there to be sent.
    ///
    /// ```no_run
    /// # async fn example(mut body: tollgate_sdk::http::Body) -> Result<(), tollgate_sdk::http::Error> {
    /// let mut length = 0;
    /// while let Some(piece) = body.chunk().await? {
    ///     length += piece.len();
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn chunk(&mut self) -> Result<Option<Vec<u8>>, Error> {
        match &mut self.0 {
            Content::Full(bytes) if bytes.is_empty() => Ok(None),
            Content::Full(bytes) => Ok(Some(std::mem::take(bytes))),
            Content::Made(_) => Err(Error::Unreadable("it is made while it is sent".to_owned())),
            Content::Arriving(arriving) => arriving.chunk().await,
        }
    }

    /// All of it. The memory that it may take is bounded by what the host gives this app: for bodies of strangers
    /// prefer [`Body::bytes_within`].
    ///
    /// # Errors
    /// As [`Body::chunk`].
    ///
    /// ```no_run
    /// # async fn example(request: tollgate_sdk::http::Request) -> Result<(), tollgate_sdk::http::Error> {
    /// let bytes = request.into_body().bytes().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn bytes(self) -> Result<Vec<u8>, Error> {
        self.bytes_within(usize::MAX).await
    }

    /// All of it, if it has at most `limit` bytes.
    ///
    /// # Errors
    /// [`Error::TooLarge`] as soon as there are more; else as [`Body::chunk`].
    pub async fn bytes_within(mut self, limit: usize) -> Result<Vec<u8>, Error> {
        let mut bytes = Vec::new();
        while let Some(mut piece) = self.chunk().await? {
            if piece.len() > limit.saturating_sub(bytes.len()) {
                return Err(Error::TooLarge);
            }
            if bytes.is_empty() {
                bytes = piece;
            } else {
                bytes.append(&mut piece);
            }
        }
        Ok(bytes)
    }

    /// All of it, as UTF-8 text.
    ///
    /// # Errors
    /// [`Error::Unreadable`] if it is none; else as [`Body::chunk`].
    pub async fn text(self) -> Result<String, Error> {
        String::from_utf8(self.bytes().await?).map_err(|error| Error::Unreadable(error.to_string()))
    }

    /// All of it, as a value in JSON.
    ///
    /// # Errors
    /// [`Error::Unreadable`] if it is none of this shape; else as [`Body::chunk`].
    #[cfg(feature = "json")]
    pub async fn json<T: serde::de::DeserializeOwned>(self) -> Result<T, Error> {
        serde_json::from_slice(&self.bytes().await?).map_err(|error| Error::Unreadable(error.to_string()))
    }

    /// The length in bytes, where it is known.
    pub(super) fn known_length(&self) -> Option<usize> {
        match &self.0 {
            Content::Full(bytes) => Some(bytes.len()),
            Content::Arriving(_) | Content::Made(_) => None,
        }
    }

    /// What the host takes: the stream, if there is anything in it, and the ending. What has to be written is
    /// written by a task of its own.
    pub(super) fn into_parts(self) -> (Option<StreamReader<u8>>, Ending) {
        match self.0 {
            Content::Arriving(Arriving { stream, ending: Some(ending), .. }) => (Some(stream), ending),
            Content::Arriving(Arriving { ending: None, .. }) => (None, ended()),
            Content::Full(bytes) if bytes.is_empty() => (None, ended()),
            Content::Full(bytes) => made(Box::new(move |mut writer: BodyWriter| {
                Box::pin(async move { writer.write(bytes).await })
            })),
            Content::Made(produce) => made(produce),
        }
    }
}

impl Arriving {
    async fn chunk(&mut self) -> Result<Option<Vec<u8>>, Error> {
        if self.ending.is_none() {
            return Ok(None);
        }
        loop {
            let (result, piece) = self.stream.read(Vec::with_capacity(CHUNK_BYTES)).await;
            match result {
                StreamResult::Complete(_) if piece.is_empty() => {}
                StreamResult::Complete(_) => return Ok(Some(piece)),
                StreamResult::Dropped | StreamResult::Cancelled => break,
            }
        }
        match self.ending.take() {
            Some(ending) => ending.await.map(|_trailers| None).map_err(Error::from),
            None => Ok(None),
        }
    }
}

/// An ending without trailers.
fn ended() -> Ending {
    // Dropped unwritten, the writer gives the reader the default.
    let (_, reader) = wit_future::new(|| Ok(None));
    reader
}

fn made(produce: Producer) -> (Option<StreamReader<u8>>, Ending) {
    let (stream, reader) = wit_stream::new();
    let (ending, ending_reader) =
        wit_future::new(|| Err(ErrorCode::InternalError(Some("the body was not finished".to_owned()))));
    wasip3::spawn(async move {
        // The stream ends when the writer is gone; only then may the ending be told.
        let result = match produce(BodyWriter(stream)).await {
            Ok(()) => Ok(None),
            Err(Closed) => Err(ErrorCode::InternalError(Some("the body was given up".to_owned()))),
        };
        // The receiver may have left.
        let _ = ending.write(result).await;
    });
    (Some(reader), ending_reader)
}

/// Where [`Body::stream`] writes to.
pub struct BodyWriter(StreamWriter<u8>);

/// The other side takes no more of the body; or, returned by the function that makes it, the body is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed;

impl std::fmt::Display for Closed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the other side takes no more of the body")
    }
}

impl std::error::Error for Closed {}

impl BodyWriter {
    /// Sends bytes, and returns when they were taken.
    ///
    /// # Errors
    /// [`Closed`] if the other side takes no more.
    pub async fn write(&mut self, bytes: impl Into<Vec<u8>>) -> Result<(), Closed> {
        let left = self.0.write_all(bytes.into()).await;
        if left.is_empty() { Ok(()) } else { Err(Closed) }
    }
}

impl Default for Body {
    fn default() -> Self {
        Self::empty()
    }
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0 {
            Content::Full(bytes) => write!(f, "Body({} bytes)", bytes.len()),
            Content::Arriving(_) => f.write_str("Body(arriving)"),
            Content::Made(_) => f.write_str("Body(made while it is sent)"),
        }
    }
}

impl From<()> for Body {
    fn from((): ()) -> Self {
        Self::empty()
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Content::Full(bytes))
    }
}

impl From<&[u8]> for Body {
    fn from(bytes: &[u8]) -> Self {
        bytes.to_vec().into()
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        text.into_bytes().into()
    }
}

impl From<&str> for Body {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}
