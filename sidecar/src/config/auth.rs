//! Who may connect.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Authentication of clients, and what a token grants.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Auth {
    /// Whether a token is needed at all.
    pub mode: AuthMode,
    /// Name of the cookie that is looked at before the `Authorization` header.
    pub cookie: String,
    /// Verification keys; a token is accepted when one of them verifies it. During a rotation the
    /// previous key stays in the list.
    pub keys: Vec<Key>,
    /// Keys published by an identity provider, beside `keys`.
    pub jwks: Option<Jwks>,
    /// Accepted `iss` claims. Empty: not checked.
    pub issuers: Vec<String>,
    /// Accepted `aud` claims. Empty: not checked.
    pub audiences: Vec<String>,
    /// Clock difference forgiven in `exp` and `nbf`, in seconds.
    pub leeway_seconds: u64,
    /// Topic patterns granted to a token without a `wse_topics` claim.
    pub default_topics: Vec<String>,
    /// Origins that a browser page may come from.
    pub allowed_origins: Origins,
}

impl Default for Auth {
    fn default() -> Self {
        Self {
            mode: AuthMode::Jwt,
            cookie: "access_token".into(),
            keys: Vec::new(),
            jwks: None,
            issuers: Vec::new(),
            audiences: Vec::new(),
            leeway_seconds: 30,
            default_topics: Vec::new(),
            allowed_origins: Origins::default(),
        }
    }
}

/// Whether a token is needed.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub enum AuthMode {
    /// Every session needs a valid token.
    #[default]
    Jwt,
    /// Anybody is `anonymous` and has the default topics. For development.
    None,
}

/// One static verification key.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Key {
    /// The one algorithm that this key verifies. A token naming another is refused.
    pub algorithm: Algorithm,
    /// File with the shared secret (HS*, at least 32 bytes) or the public key in PEM.
    pub file: PathBuf,
    /// `kid` that a token must carry for this key to be tried. None: tried for every token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kid: Option<String>,
}

/// Signature algorithms (RFC 7518 section 3.1, RFC 8037).
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Algorithm {
    /// Ed25519.
    EdDSA,
    /// ECDSA on P-256 with SHA-256.
    ES256,
    /// HMAC with SHA-256.
    HS256,
    /// HMAC with SHA-384.
    HS384,
    /// HMAC with SHA-512.
    HS512,
    /// RSA PKCS#1 v1.5 with SHA-256.
    RS256,
}

/// A JSON Web Key Set (RFC 7517 section 5).
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Jwks {
    /// Mounted file with the set.
    pub file: Option<PathBuf>,
    /// Where to fetch the set from; `https`, or `http` to a loopback address.
    pub url: Option<String>,
    /// How often the set is fetched again, in seconds; at least 10, and 0 means 300. A set that cannot
    /// be fetched is used until it can. An unknown `kid` fetches early, at most every ten seconds.
    pub refresh_seconds: u64,
}

/// Pages that may open a WebSocket (RFC 6455 section 10.2). A client that sends no `Origin` is no
/// browser and passes.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub enum Origins {
    /// Any page. Cookies are then not accepted as authentication.
    Any,
    /// Exactly these, such as `https://app.example.com`.
    List(Vec<String>),
    /// The page's host and port are those of the `Host` header.
    #[default]
    SameHost,
}
