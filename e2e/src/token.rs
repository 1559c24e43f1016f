//! Tokens as an identity provider would make them, and the wrong ones too.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::Serialize;

/// The claims that a gateway looks at.
#[derive(Clone, Debug, Serialize)]
pub struct Claims {
    /// The user.
    pub sub: String,
    /// Who made the token.
    pub iss: String,
    /// For whom.
    pub aud: String,
    /// When it ends, in seconds since 1970.
    pub exp: u64,
    /// What it may subscribe to. None: no such claim.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wse_topics: Option<Topics>,
    /// Bytes that nobody reads, to make a token large.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub padding: String,
}

/// The `wse_topics` claim: globs that are allowed and denied.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Topics {
    /// What may be subscribed to.
    pub allow: Vec<String>,
    /// What may not, although `allow` matches it.
    pub deny: Vec<String>,
}

impl Claims {
    /// Claims for a user, good for an hour, without `wse_topics`.
    pub fn new(user: &str, issuer: &str, audience: &str) -> Self {
        Self {
            sub: user.into(),
            iss: issuer.into(),
            aud: audience.into(),
            exp: seconds_since_1970() + 3_600,
            wse_topics: None,
            padding: String::new(),
        }
    }

    /// The same, allowed to subscribe to what the globs match.
    pub fn allow(mut self, globs: &[&str]) -> Self {
        self.wse_topics.get_or_insert_default().allow =
            globs.iter().map(|&glob| glob.to_owned()).collect();
        self
    }

    /// The same, ended so long ago.
    pub fn expired(mut self, ago: Duration) -> Self {
        self.exp = seconds_since_1970() - ago.as_secs();
        self
    }

    /// The same, larger by so many bytes.
    pub fn padded(mut self, bytes: usize) -> Self {
        self.padding = "x".repeat(bytes);
        self
    }

    /// Signs with HS256.
    pub fn sign(&self, secret: &[u8]) -> String {
        let key = EncodingKey::from_secret(secret);
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), self, &key)
            .expect("strings and numbers always encode")
    }

    /// The unsigned token of RFC 7519 section 6: `alg` is `none`, the signature is empty.
    pub fn unsigned(&self) -> String {
        let signed = self.sign(b"thrown away");
        let payload = signed.split('.').nth(1).unwrap_or_default();
        // {"alg":"none","typ":"JWT"}
        format!("eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.{payload}.")
    }
}

fn seconds_since_1970() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}
