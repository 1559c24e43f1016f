//! Who may connect. Mirrors the gateway's `auth` configuration, with Secrets where that has files.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use wse_sidecar::config::Algorithm;

/// Who may connect, and what they may subscribe to.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.mode != 'None' || self.allowAnonymous").message("`mode: None` lets anybody connect without a token; for development, set `allowAnonymous: true` beside it"),
    validation = Rule::new("self.mode != 'Jwt' || size(self.keys) > 0 || has(self.jwks)").message("`mode: Jwt` needs something to verify tokens with: give `keys`, or `jwks`"),
    validation = Rule::new("!self.allowedOrigins.exists(origin, origin == '*') || size(self.allowedOrigins) == 1").message("`*` in `allowedOrigins` must stand alone: it already allows every page")
)]
pub struct Auth {
    /// Whether a client needs a token.
    #[serde(default)]
    pub mode: AuthMode,
    /// Confirms `mode: None`. For development only.
    #[serde(default)]
    pub allow_anonymous: bool,
    /// Verification keys; a token is accepted when one of them verifies it. During a rotation the
    /// previous key stays in the list.
    #[serde(default)]
    #[schemars(length(max = 16))]
    pub keys: Vec<Key>,
    /// Keys that an identity provider publishes, beside `keys`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks: Option<Jwks>,
    /// Accepted `iss` claims. Empty: not checked.
    #[serde(default)]
    #[schemars(length(max = 16), inner(length(min = 1, max = 512)))]
    pub issuers: Vec<String>,
    /// Accepted `aud` claims. Empty: not checked.
    #[serde(default)]
    #[schemars(length(max = 16), inner(length(min = 1, max = 512)))]
    pub audiences: Vec<String>,
    /// Clock difference forgiven in `exp` and `nbf`.
    #[serde(default = "Auth::leeway_seconds")]
    #[schemars(range(max = 300))]
    pub leeway_seconds: u32,
    /// Name of the cookie that is looked at before the `Authorization` header. Browsers have no other
    /// way to send a token.
    #[serde(default = "Auth::cookie")]
    #[schemars(length(min = 1, max = 128), regex(pattern = r"^[A-Za-z0-9_.-]+$"))]
    pub cookie: String,
    /// Topic patterns granted to a token without a `wse_topics` claim.
    #[serde(default)]
    #[schemars(length(max = 64), inner(length(min = 1, max = 255)))]
    pub default_topics: Vec<String>,
    /// Origins that a browser page may come from, such as `https://app.example.com`. Empty: the
    /// gateway's own host. `*` alone: every page, and cookies then authenticate nobody.
    #[serde(default)]
    #[schemars(length(max = 64), inner(length(min = 1, max = 255)))]
    pub allowed_origins: Vec<String>,
}

impl Auth {
    fn cookie() -> String {
        "access_token".into()
    }

    fn leeway_seconds() -> u32 {
        30
    }
}

/// Whether a client needs a token. `Jwt`: yes. `None`: anybody is `anonymous` and has the default
/// topics; for development.
#[allow(missing_docs)] // As for `TierChoice`.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum AuthMode {
    #[default]
    Jwt,
    None,
}

/// One verification key.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Key {
    /// The one algorithm that this key verifies; a token that names another is refused.
    pub algorithm: Algorithm,
    /// Where the shared secret (HS*, at least 32 bytes) or the public key in PEM is.
    pub secret_key_ref: SecretKeyRef,
    /// `kid` that a token must carry for this key to be tried. Left out: tried for every token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub kid: Option<String>,
}

/// A JSON Web Key Set.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.url) != has(self.secretKeyRef)").message("give exactly one of `url` and `secretKeyRef`")
)]
pub struct Jwks {
    /// Where to fetch the set from, by `https`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2_048))]
    pub url: Option<String>,
    /// Where the set is kept, when it is not fetched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_key_ref: Option<SecretKeyRef>,
    /// How often the set is fetched again.
    #[serde(default = "Jwks::refresh_seconds")]
    #[schemars(range(min = 10, max = 86_400))]
    pub refresh_seconds: u32,
}

impl Jwks {
    fn refresh_seconds() -> u32 {
        300
    }
}

/// One entry of a Secret in the cluster's namespace.
#[derive(
    Clone, Debug, Deserialize, Eq, Hash, KubeSchema, Ord, PartialEq, PartialOrd, Serialize,
)]
#[serde(rename_all = "camelCase")]
pub struct SecretKeyRef {
    /// The Secret's name.
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$")
    )]
    pub name: String,
    /// The entry in it.
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^[A-Za-z0-9_.-]*[A-Za-z0-9_-][A-Za-z0-9_.-]*$")
    )]
    pub key: String,
}
