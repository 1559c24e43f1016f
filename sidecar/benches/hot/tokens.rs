//! Verifying a token.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use std::{env, fs, process};

use criterion::{BenchmarkId, Criterion};
use jsonwebtoken::{EncodingKey, Header};
use prometheus::Registry;
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256};
use serde_json::json;
use tokio::runtime::Builder;
use wse_sidecar::auth::{Metrics, Verifier};
use wse_sidecar::config::{Algorithm, Auth, Key};

/// The signature and the claims, as at a handshake.
pub(crate) fn verify(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("token");
    for (algorithm, name) in [
        (Algorithm::HS256, "HS256"),
        (Algorithm::ES256, "ES256"),
        (Algorithm::RS256, "RS256"),
    ] {
        let (key, public) = key(algorithm);
        let now = SystemTime::now();
        let verifier = verifier(algorithm, &public);
        let token = token(name, &key, now);
        assert!(verifier.verify(&token, now).is_ok());
        group.bench_function(BenchmarkId::from_parameter(name), |bencher| {
            bencher.iter(|| verifier.verify(black_box(&token), now));
        });
    }
    group.finish();
}

/// A new key, and what the gateway's key file says of it.
fn key(algorithm: Algorithm) -> (EncodingKey, String) {
    let pair = |kind| KeyPair::generate_for(kind).expect("a key can be made");
    match algorithm {
        Algorithm::ES256 => {
            let pair = pair(&PKCS_ECDSA_P256_SHA256);
            let private = EncodingKey::from_ec_pem(pair.serialize_pem().as_bytes());
            (private.expect("it is a key"), pair.public_key_pem())
        }
        Algorithm::RS256 => {
            let pair = pair(&PKCS_RSA_SHA256);
            let private = EncodingKey::from_rsa_pem(pair.serialize_pem().as_bytes());
            (private.expect("it is a key"), pair.public_key_pem())
        }
        _ => {
            let secret = "a secret of thirty-two bytes, yes";
            (EncodingKey::from_secret(secret.as_bytes()), secret.into())
        }
    }
}

fn verifier(algorithm: Algorithm, public: &str) -> Verifier {
    let file = env::temp_dir().join(format!("wse-bench-{}", process::id()));
    fs::write(&file, public).expect("a file can be written");
    let config = Auth {
        keys: vec![Key {
            algorithm,
            file: file.clone(),
            kid: None,
        }],
        issuers: vec!["https://issuer.test".into()],
        audiences: vec!["bench".into()],
        ..Auth::default()
    };
    let metrics = Metrics::new(&Registry::new()).expect("nothing is registered yet");
    let runtime = Builder::new_current_thread().enable_all().build();
    let loading = Verifier::load(&config, None, Arc::new(metrics));
    let loaded = runtime.expect("a runtime can be made").block_on(loading);
    // It goes before anything can fail.
    fs::remove_file(file).expect("the file is there");
    loaded.expect("the key is good")
}

fn token(algorithm: &str, key: &EncodingKey, now: SystemTime) -> String {
    let expires = now + Duration::from_secs(3_600);
    let expires = expires
        .duration_since(UNIX_EPOCH)
        .map_or(0, |at| at.as_secs());
    let claims = json!({
        "sub": "user-17", "exp": expires, "iss": "https://issuer.test", "aud": "bench",
        "wse_topics": {"allow": ["chat.*", "user-17.*"]},
    });
    let algorithm = algorithm.parse().expect("it is known");
    jsonwebtoken::encode(&Header::new(algorithm), &claims, key).expect("it signs")
}
