//! Why a configuration of authentication cannot be used.

use std::io;
use std::path::PathBuf;

use crate::topic::TopicError;

/// Always the configuration's fault: nothing here is worth a retry, and a reload that fails with it
/// leaves the verifier before in use.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A default topic is no pattern.
    #[error("auth.defaultTopics: `{pattern}`: {source}")]
    DefaultTopic {
        /// As configured.
        pattern: String,
        /// What is wrong with it.
        source: TopicError,
    },
    /// A key file holds no usable key.
    #[error("key file {}: {reason}", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Tokens are needed and nothing could ever verify one.
    #[error("auth: no key and no JWKS is configured, so nobody could connect")]
    NoKeys,
    /// A file cannot be read.
    #[error("key file {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The TLS client for the JWKS cannot be made.
    #[error("auth.jwks.url: TLS: {0}")]
    Tls(io::Error),
    /// The JWKS cannot be fetched from such an address.
    #[error("auth.jwks.url `{url}`: {reason}")]
    Url {
        /// As configured.
        url: String,
        /// What is wrong with it.
        reason: &'static str,
    },
}
