//! Whom a client over TLS believes.

use std::path::Path;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

use crate::Error;

/// A configuration that trusts the certificates in a PEM file, or, without one, Mozilla's authorities. Each
/// connection makes a whole handshake.
///
/// # Errors
/// [`Error::Process`] when the file has no certificate.
pub fn trust(certificates: Option<&Path>) -> Result<Arc<ClientConfig>, Error> {
    let mut roots = RootCertStore::empty();
    match certificates {
        None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
        Some(file) => {
            let bad = |why: String| Error::Process(format!("{}: {why}", file.display()));
            let all =
                CertificateDer::pem_file_iter(file).map_err(|error| bad(error.to_string()))?;
            for certificate in all {
                let added = certificate.map_err(|error| bad(error.to_string()))?;
                roots.add(added).map_err(|error| bad(error.to_string()))?;
            }
            if roots.is_empty() {
                return Err(bad("no certificate in PEM".into()));
            }
        }
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::Process(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}
