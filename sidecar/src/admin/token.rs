//! Who may change anything: whoever has the cluster's token.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use http::StatusCode;
use http::request::Parts;

use super::Admin;
use super::refusal::Refusal;
use crate::keyring::bearer;

/// The request carries the token. The first argument of every handler that changes something: what comes
/// behind it is not looked at without.
pub(super) struct Trusted;

impl FromRequestParts<Arc<Admin>> for Trusted {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, admin: &Arc<Admin>) -> Result<Self, Refusal> {
        let token = admin.token.load();
        if token.is_empty() {
            return Err(Refusal::new(
                StatusCode::FORBIDDEN,
                "TOKEN_NOT_CONFIGURED",
                "no token is configured: set admin.tokenFile",
            ));
        }
        if !bearer(&parts.headers).is_some_and(|presented| token.accepts(presented)) {
            return Err(Refusal::new(
                StatusCode::UNAUTHORIZED,
                "TOKEN_REFUSED",
                "send the cluster's token as `Authorization: Bearer <token>`",
            ));
        }
        Ok(Self)
    }
}
