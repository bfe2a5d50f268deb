//! The certificate that a listener shows.

use parking_lot::RwLock;
use rustls::ServerConfig;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::path::PathBuf;
use std::sync::Arc;
use tokio_rustls::TlsAcceptor;

/// Where a certificate and its key are, both as PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate, and after it those that lead to its root.
    pub chain: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// Why a certificate can't be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file can't be read, or has no such thing in it.
    #[error("can't read the {what} in `{}`: {cause}", file.display())]
    File {
        /// `certificate` or `private key`.
        what: &'static str,
        /// The file.
        file: PathBuf,
        /// What is wrong.
        cause: pem::Error,
    },
    /// They don't fit together, or one of them is not supported.
    #[error("can't use the certificate in `{}`: {cause}", chain.display())]
    Unusable {
        /// The certificate's file.
        chain: PathBuf,
        /// What is wrong.
        cause: rustls::Error,
    },
}

/// A certificate that a listener shows, and that can be renewed while it does.
pub struct Certificate {
    files: TlsFiles,
    shown: RwLock<TlsAcceptor>,
}

/// What a certificate's files hold now.
pub struct Renewal(TlsAcceptor);

impl Certificate {
    /// Reads the files.
    ///
    /// # Errors
    /// Any [`TlsError`].
    pub fn load(files: TlsFiles) -> Result<Self, TlsError> {
        let shown = RwLock::new(files.read()?);
        Ok(Self { files, shown })
    }

    /// Reads the files again, and goes on to show what they held before.
    ///
    /// # Errors
    /// Any [`TlsError`].
    pub fn read(&self) -> Result<Renewal, TlsError> {
        self.files.read().map(Renewal)
    }

    /// Shows this from the next handshake on. Connections that there are stay as they are.
    pub fn renew(&self, renewal: Renewal) {
        *self.shown.write() = renewal.0;
    }

    pub(super) fn acceptor(&self) -> TlsAcceptor {
        self.shown.read().clone()
    }
}

impl TlsFiles {
    /// Reads both, for TLS 1.2 and 1.3, with HTTP/2 and HTTP/1.1 on offer.
    fn read(&self) -> Result<TlsAcceptor, TlsError> {
        let file = |what, file: &PathBuf| {
            let file = file.clone();
            move |cause| TlsError::File { what, file, cause }
        };
        let certificates: Result<Vec<_>, _> =
            CertificateDer::pem_file_iter(&self.chain).and_then(|chain| chain.collect());
        let certificates = certificates.map_err(file("certificate", &self.chain))?;
        let key = PrivateKeyDer::from_pem_file(&self.key).map_err(file("private key", &self.key))?;
        let unusable = |cause| TlsError::Unusable { chain: self.chain.clone(), cause };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(unusable)?
            .with_no_client_auth()
            .with_single_cert(certificates, key)
            .map_err(unusable)?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}
