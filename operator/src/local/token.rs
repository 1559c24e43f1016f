//! A token to try the fleet with, signed with a secret of the file.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::json;
use wse_sidecar::config;

use crate::api::{Auth, AuthMode, Key, SecretKeyRef};

/// Who the token is for.
pub(super) const USER: &str = "demo";
/// How long it is valid: a working day.
const VALID: Duration = Duration::from_secs(12 * 3_600);

/// A token that the cluster accepts and that grants every topic. None: no token is needed, or no key
/// of the cluster can sign (a public key verifies only).
pub(super) fn mint(
    auth: &Auth,
    secrets: &BTreeMap<SecretKeyRef, Vec<u8>>,
    now: SystemTime,
) -> Option<String> {
    if auth.mode == AuthMode::None {
        return None;
    }
    auth.keys
        .iter()
        .find_map(|key| sign(auth, key, secrets.get(&key.secret_key_ref)?, now))
}

fn sign(auth: &Auth, key: &Key, secret: &[u8], now: SystemTime) -> Option<String> {
    let algorithm = match key.algorithm {
        config::Algorithm::HS256 => Algorithm::HS256,
        config::Algorithm::HS384 => Algorithm::HS384,
        config::Algorithm::HS512 => Algorithm::HS512,
        config::Algorithm::EdDSA | config::Algorithm::ES256 | config::Algorithm::RS256 => {
            return None;
        }
    };
    let seconds = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let mut claims = json!({
        "sub": USER,
        "iat": seconds,
        "exp": seconds + VALID.as_secs(),
        "wse_topics": {"allow": ["*"], "deny": []},
    });
    if let Some(issuer) = auth.issuers.first() {
        claims["iss"] = json!(issuer);
    }
    if let Some(audience) = auth.audiences.first() {
        claims["aud"] = json!(audience);
    }
    let header = Header {
        kid: key.kid.clone(),
        ..Header::new(algorithm)
    };
    // As the gateway reads it: the end of a text file's last line is not part of a secret.
    let end = secret.iter().rposition(|byte| !b"\r\n".contains(byte))?;
    encode(&header, &claims, &EncodingKey::from_secret(&secret[..=end])).ok()
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::{DecodingKey, Validation, decode};

    use super::*;
    use crate::local::Input;

    fn example() -> Input {
        Input::parse(include_str!("../../../crds/examples/chat.yaml")).unwrap()
    }

    #[test]
    fn the_token_is_what_the_cluster_accepts() {
        let input = example();
        let auth = &input.cluster.spec.auth;
        let token = mint(auth, &input.secrets, SystemTime::now()).unwrap();
        let key = DecodingKey::from_secret(&input.secrets[&auth.keys[0].secret_key_ref]);
        let mut rules = Validation::new(Algorithm::HS256);
        rules.set_issuer(&["chat-backend"]);
        rules.set_audience(&["chat"]);
        let claims = decode::<serde_json::Value>(&token, &key, &rules)
            .unwrap()
            .claims;
        assert_eq!(claims["sub"], USER);
        assert_eq!(claims["wse_topics"]["allow"], json!(["*"]));
    }

    #[test]
    fn without_a_secret_or_a_need_there_is_none() {
        let mut input = example();
        input.cluster.spec.auth.keys[0].algorithm = config::Algorithm::ES256;
        assert_eq!(
            mint(&input.cluster.spec.auth, &input.secrets, SystemTime::now()),
            None
        );
        let mut input = example();
        input.cluster.spec.auth.mode = AuthMode::None;
        assert_eq!(
            mint(&input.cluster.spec.auth, &input.secrets, SystemTime::now()),
            None
        );
    }
}
