//! Why a client is not let in.

/// Why a client was not let in, told after the upgrade as the protocol's error message.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// The token is not valid: `AUTH_FAILED`. The label says why, for the metric and the log only.
    #[error("Authentication failed")]
    Failed(&'static str),
    /// No token anywhere: `AUTH_REQUIRED`.
    #[error("Authentication required")]
    Required,
}

impl Refusal {
    /// The metric's label.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Failed(label) => label,
            Self::Required => "no_token",
        }
    }
}

/// What a request without a valid identity gets.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Denied {
    /// The published key set that could verify the token cannot be had now. It says nothing about the
    /// token, and clients take 4401 as final: they must be told to come back, before the upgrade.
    #[error("the keys that verify tokens cannot be fetched now")]
    KeysUnavailable,
    /// The client is refused for good.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

/// `alg` is `none`, in any case (RFC 8725 section 3.1).
pub(super) const ALG_NONE: &str = "alg_none";
/// The signature fits no key.
pub(super) const BAD_SIGNATURE: &str = "bad_signature";
/// The header names extensions that must be understood (RFC 7515 section 4.1.11): there are none.
pub(super) const CRITICAL_HEADER: &str = "critical_header";
/// `exp` has passed.
pub(super) const EXPIRED: &str = "expired";
/// Not three base64url parts that hold JSON objects.
pub(super) const MALFORMED: &str = "malformed";
/// A claim that is looked at has the wrong type.
pub(super) const MALFORMED_CLAIM: &str = "malformed_claim";
/// There is no `exp`.
pub(super) const NO_EXPIRY: &str = "no_expiry";
/// There is no `sub`, or it is empty.
pub(super) const NO_SUBJECT: &str = "no_subject";
/// `nbf` is in the future.
pub(super) const NOT_YET_VALID: &str = "not_yet_valid";
/// Longer than [`super::verifier::TOKEN_BYTES`].
pub(super) const TOO_LONG: &str = "too_long";
/// No key has the token's `kid`.
pub(super) const UNKNOWN_KEY: &str = "unknown_key";
/// `alg` is none of those that this gateway verifies.
pub(super) const UNSUPPORTED_ALGORITHM: &str = "unsupported_algorithm";
/// The keys that could verify the token are for another algorithm.
pub(super) const WRONG_ALGORITHM: &str = "wrong_algorithm";
/// `aud` names none of the accepted audiences.
pub(super) const WRONG_AUDIENCE: &str = "wrong_audience";
/// `iss` is none of the accepted issuers.
pub(super) const WRONG_ISSUER: &str = "wrong_issuer";

/// Every label, so that each counter exists from the start.
pub(super) const REASONS: [&str; 16] = [
    ALG_NONE,
    BAD_SIGNATURE,
    CRITICAL_HEADER,
    EXPIRED,
    MALFORMED,
    MALFORMED_CLAIM,
    NO_EXPIRY,
    NO_SUBJECT,
    "no_token",
    NOT_YET_VALID,
    TOO_LONG,
    UNKNOWN_KEY,
    UNSUPPORTED_ALGORITHM,
    WRONG_ALGORITHM,
    WRONG_AUDIENCE,
    WRONG_ISSUER,
];
