//! JSON Web Key Sets (RFC 7517 section 5) into keys.

use jsonwebtoken::DecodingKey;
use jsonwebtoken::jwk::{
    AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse,
};
use serde::Deserialize;
use serde_json::Value;

use super::keys::VerifyingKey;
use crate::config::Algorithm;

/// Most keys taken from one set: providers publish a handful, and a token without a `kid` may be tried
/// with several.
const KEYS: usize = 64;

/// The keys of a set that can verify tokens here. What cannot is passed over, as RFC 7517 section 5
/// asks: other uses, other algorithms, malformed entries. Shared secrets are passed over too: what is
/// published is no secret.
///
/// # Errors
/// A message for people when the text is no set, or no key of it is usable.
pub(super) fn parse(text: &[u8]) -> Result<Vec<VerifyingKey>, String> {
    let set: Set =
        serde_json::from_slice(text).map_err(|error| format!("is no JWK Set: {error}"))?;
    let found = set.keys.len();
    let keys: Vec<_> = set
        .keys
        .into_iter()
        .filter_map(|entry| usable(&Jwk::deserialize(entry).ok()?))
        .take(KEYS)
        .collect();
    if keys.is_empty() {
        return Err(format!(
            "holds no usable key among {found}: RS256, ES256 and EdDSA signature keys are taken"
        ));
    }
    Ok(keys)
}

/// Whether a set can hold keys for the algorithm.
pub(super) fn has(algorithm: Algorithm) -> bool {
    matches!(
        algorithm,
        Algorithm::ES256 | Algorithm::EdDSA | Algorithm::RS256
    )
}

#[derive(Deserialize)]
struct Set {
    keys: Vec<Value>,
}

fn usable(jwk: &Jwk) -> Option<VerifyingKey> {
    let common = &jwk.common;
    if !matches!(common.public_key_use, None | Some(PublicKeyUse::Signature)) {
        return None;
    }
    if let Some(operations) = &common.key_operations
        && !operations.contains(&KeyOperations::Verify)
    {
        return None;
    }
    let (algorithm, named) = match &jwk.algorithm {
        AlgorithmParameters::EllipticCurve(point) if point.curve == EllipticCurve::P256 => {
            (Algorithm::ES256, KeyAlgorithm::ES256)
        }
        AlgorithmParameters::OctetKeyPair(point) if point.curve == EllipticCurve::Ed25519 => {
            (Algorithm::EdDSA, KeyAlgorithm::EdDSA)
        }
        AlgorithmParameters::RSA(_) => (Algorithm::RS256, KeyAlgorithm::RS256),
        _ => return None,
    };
    if common.key_algorithm.is_some_and(|other| other != named) {
        return None;
    }
    let key = DecodingKey::from_jwk(jwk).ok()?;
    VerifyingKey::new(algorithm, common.key_id.clone(), key).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::minting::Signer;
    use super::*;

    fn count(set: &Value) -> Result<usize, String> {
        parse(set.to_string().as_bytes()).map(|keys| keys.len())
    }

    #[test]
    fn what_cannot_verify_is_passed_over() {
        let with = |key: &Value, name: &str, value: Value| {
            let mut key = key.clone();
            key[name] = value;
            key
        };
        let good = Signer::es256("a").jwk();
        assert_eq!(count(&json!({"keys": [good]})), Ok(1));
        for other in [
            with(&good, "use", json!("enc")),
            with(&good, "key_ops", json!(["sign"])),
            with(&good, "alg", json!("ES384")),
            with(&good, "alg", json!("ES256K")),
            with(&good, "crv", json!("P-384")),
            with(&good, "crv", json!("secp256k1")),
            with(&good, "x", json!("AAAA")),
            with(&good, "x", json!("no base64!")),
            with(&good, "kid", json!(7)),
            json!({"kty": "RSA", "n": "AQAB", "e": "AQAB"}),
            json!({"kty": "OKP", "crv": "X25519", "x": "AAAA"}),
            json!({"kty": "oct", "alg": "HS256", "k": "YWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWE"}),
            json!({"kty": "AKP", "alg": "ML-DSA-44"}),
            json!("a"),
        ] {
            assert_eq!(count(&json!({"keys": [other, good]})), Ok(1), "{other}");
            assert!(count(&json!({"keys": [other]})).is_err(), "{other}");
        }
    }

    #[test]
    fn every_kind_of_public_key_is_taken() {
        let keys: Vec<_> = [Signer::es256("a"), Signer::eddsa("b"), Signer::rs256("c")]
            .iter()
            .map(Signer::jwk)
            .collect();
        assert_eq!(count(&json!({"keys": keys})), Ok(3));
    }

    #[test]
    fn a_text_that_is_no_set_is_an_error() {
        for text in ["", "[]", "{}", "{\"keys\": {}}", "<html>", "{\"keys\": []}"] {
            assert!(parse(text.as_bytes()).is_err(), "{text}");
        }
    }
}
