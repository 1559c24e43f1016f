//! What the public port proves itself by, and how it speaks TLS.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::NoServerSessionStorage;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{InconsistentKeys, ServerConfig};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::config::Tls;

/// What a client may ask for by ALPN (RFC 7301). One that asks for nothing else is refused; most ask for
/// nothing.
const HTTP: &[u8] = b"http/1.1";

/// A certificate chain with its key, ready for handshakes. Cheap to clone.
#[derive(Clone)]
pub struct Certificate(Arc<ServerConfig>);

/// Why a certificate cannot be used. Always the files' fault.
#[derive(Debug, thiserror::Error)]
pub enum BadCertificate {
    /// The first certificate of the chain is none.
    #[error("listen.tls.certificateFile {}: the first certificate cannot be used: {source}", path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: rustls::Error,
    },
    /// The key is of no kind that can be used.
    #[error("listen.tls.keyFile {}: the key cannot be used: {source}", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: rustls::Error,
    },
    /// Each is fine, but they do not belong together.
    #[error("listen.tls: the key in {} is not that of the first certificate in {}", key.display(), certificate.display())]
    Mismatch {
        /// The file with the chain.
        certificate: PathBuf,
        /// The file with the key.
        key: PathBuf,
    },
    /// The chain is empty.
    #[error("listen.tls.certificateFile {}: holds no certificate in PEM", .0.display())]
    NoCertificate(PathBuf),
    /// There is no private key.
    #[error("listen.tls.keyFile {}: holds no private key in PEM that is not encrypted", .0.display())]
    NoKey(PathBuf),
    /// A file is no PEM, or cut off.
    #[error("{setting} {}: {source}", path.display())]
    Pem {
        /// Which of the two.
        setting: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: pem::Error,
    },
    /// A file cannot be read.
    #[error("{setting}: cannot read {}: {source}", path.display())]
    Read {
        /// Which of the two.
        setting: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The cryptography lacks what TLS needs.
    #[error("listen.tls: {0}")]
    Unsupported(rustls::Error),
}

impl Certificate {
    /// Reads the two files.
    ///
    /// # Errors
    /// Names the setting, the file, and what is wrong with it.
    pub fn load(config: &Tls) -> Result<Self, BadCertificate> {
        let provider = Arc::new(default_provider());
        let chain = chain(&config.certificate_file)?;
        let key = provider
            .key_provider
            .load_private_key(key(&config.key_file)?)
            .map_err(|source| BadCertificate::Key {
                path: config.key_file.clone(),
                source,
            })?;
        let certified = CertifiedKey::new(chain, key);
        match certified.keys_match() {
            Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => {}
            Err(rustls::Error::InconsistentKeys(_)) => {
                return Err(BadCertificate::Mismatch {
                    certificate: config.certificate_file.clone(),
                    key: config.key_file.clone(),
                });
            }
            Err(source) => {
                return Err(BadCertificate::Certificate {
                    path: config.certificate_file.clone(),
                    source,
                });
            }
        }
        let mut tls = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(BadCertificate::Unsupported)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
        tls.alpn_protocols = vec![HTTP.to_vec()];
        // A client that comes back is sent to any pod, and only the one that it left could resume its
        // session: it would keep something for every client, for nothing.
        tls.session_storage = Arc::new(NoServerSessionStorage {});
        tls.send_tls13_tickets = 0;
        Ok(Self(Arc::new(tls)))
    }

    /// Shakes hands on a new connection. What comes after it is HTTP.
    ///
    /// # Errors
    /// With the connection, so that the client can be shown the alert that was sent.
    pub(super) async fn secure(
        &self,
        stream: TcpStream,
    ) -> Result<TlsStream<TcpStream>, (io::Error, TcpStream)> {
        let acceptor = TlsAcceptor::from(self.0.clone());
        acceptor.accept(stream).into_fallible().await
    }
}

impl std::fmt::Debug for Certificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Certificate").finish_non_exhaustive()
    }
}

fn chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, BadCertificate> {
    const SETTING: &str = "listen.tls.certificateFile";
    let text = read(SETTING, path)?;
    let chain = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|source| bad_pem(SETTING, path, source))?;
    if chain.is_empty() {
        return Err(BadCertificate::NoCertificate(path.to_owned()));
    }
    Ok(chain)
}

fn key(path: &Path) -> Result<PrivateKeyDer<'static>, BadCertificate> {
    const SETTING: &str = "listen.tls.keyFile";
    let text = read(SETTING, path)?;
    PrivateKeyDer::from_pem_slice(&text).map_err(|source| match source {
        pem::Error::NoItemsFound => BadCertificate::NoKey(path.to_owned()),
        source => bad_pem(SETTING, path, source),
    })
}

fn read(setting: &'static str, path: &Path) -> Result<Vec<u8>, BadCertificate> {
    fs::read(path).map_err(|source| BadCertificate::Read {
        setting,
        path: path.to_owned(),
        source,
    })
}

fn bad_pem(setting: &'static str, path: &Path, source: pem::Error) -> BadCertificate {
    BadCertificate::Pem {
        setting,
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::minting::Scratch;
    use crate::certificates;

    #[test]
    fn says_what_is_wrong_with_which_file() {
        let scratch = Scratch::new();
        let (mine, other) = (
            certificates::Certificate::new(),
            certificates::Certificate::new(),
        );
        let der = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let half = &mine.chain[..mine.chain.len() / 2];
        let wrong_key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
        let sealed =
            "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
        for (chain, key, expected) in [
            (mine.chain.as_str(), mine.key.as_str(), None),
            (&mine.chain, &other.key, Some("is not that of")),
            ("", &mine.key, Some("holds no certificate")),
            (&mine.key, &mine.key, Some("holds no certificate")),
            (half, &mine.key, Some("listen.tls.certificateFile")),
            (der, &mine.key, Some("the first certificate cannot be used")),
            (&mine.chain, "", Some("holds no private key")),
            (&mine.chain, sealed, Some("holds no private key")),
            (&mine.chain, wrong_key, Some("the key cannot be used")),
        ] {
            let files = Tls {
                certificate_file: scratch.write(chain.as_bytes()),
                key_file: scratch.write(key.as_bytes()),
            };
            let found = Certificate::load(&files)
                .err()
                .map(|error| error.to_string());
            match (&found, expected) {
                (None, None) => {}
                (Some(found), Some(expected)) => assert!(found.contains(expected), "{found}"),
                _ => panic!("{found:?} instead of {expected:?}"),
            }
        }
        let nowhere = Tls {
            certificate_file: "/nowhere/tls.crt".into(),
            key_file: "/nowhere/tls.key".into(),
        };
        let error = Certificate::load(&nowhere).unwrap_err().to_string();
        assert!(error.starts_with("listen.tls.certificateFile: cannot read /nowhere/tls.crt"));
    }
}
