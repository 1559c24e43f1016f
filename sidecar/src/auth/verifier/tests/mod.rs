//! Tokens against keys.

mod configuration;

use std::time::Duration;

use http::header::{AUTHORIZATION, COOKIE};
use jsonwebtoken::Header as JwtHeader;
use prometheus::Registry;
use proptest::prelude::*;
use serde_json::json;

use super::super::minting::{Scratch, Signer, in_seconds, pem, unsigned};
use super::*;
use crate::config::{Algorithm, Auth, Jwks, Key};
use crate::topic::Topic;

fn metrics() -> Arc<Metrics> {
    Arc::new(Metrics::new(&Registry::new()).unwrap())
}

async fn load(config: &Auth) -> Result<Verifier, Error> {
    Verifier::load(config, None, metrics()).await
}

/// A verifier by these keys.
async fn verifier(signers: &[&Signer]) -> Verifier {
    let scratch = Scratch::new();
    let keys = signers.iter().map(|signer| signer.key(&scratch)).collect();
    let config = Auth {
        keys,
        ..Auth::default()
    };
    load(&config).await.unwrap()
}

fn label(result: Result<Identity, Refusal>) -> &'static str {
    match result {
        Ok(_) => "accepted",
        Err(refusal) => refusal.reason(),
    }
}

fn now() -> SystemTime {
    SystemTime::now()
}

#[tokio::test]
async fn every_algorithm_verifies_its_own_tokens_and_no_others() {
    let secret = "0123456789abcdef".repeat(4);
    let signers = [
        Signer::hmac(Algorithm::HS256, &secret),
        Signer::hmac(Algorithm::HS384, &secret),
        Signer::hmac(Algorithm::HS512, &secret),
        Signer::rs256("rsa"),
        Signer::es256("ec"),
        Signer::eddsa("ed"),
    ]
    .map(|mut signer| {
        signer.kid = None;
        signer
    });
    for key in &signers {
        let verifier = verifier(&[key]).await;
        for signer in &signers {
            let expected = if signer.algorithm == key.algorithm {
                "accepted"
            } else {
                "wrong_algorithm"
            };
            assert_eq!(
                label(verifier.verify(&signer.token("ada"), now())),
                expected,
                "{:?} by {:?}",
                signer.algorithm,
                key.algorithm
            );
        }
    }
}

#[tokio::test]
async fn a_public_key_is_no_shared_secret() {
    let rsa = Signer::rs256("k");
    let scratch = Scratch::new();
    let key = rsa.key(&scratch);
    let public = std::fs::read_to_string(&key.file).unwrap();
    let mut forger = Signer::hmac(Algorithm::HS256, &public);
    forger.kid = Some("k".into());
    let verifier = verifier(&[&rsa]).await;
    assert_eq!(
        label(verifier.verify(&forger.token("ada"), now())),
        "wrong_algorithm"
    );
}

#[tokio::test]
async fn a_bad_token_is_refused_by_a_label_of_its_own() {
    let signer = Signer::hs256();
    let verifier = verifier(&[&signer]).await;
    let claims = json!({"sub": "ada", "exp": in_seconds(60)});
    let good = signer.sign(&claims);
    let (head, signature) = good.rsplit_once('.').unwrap();
    let stranger = Signer::hmac(Algorithm::HS256, &"x".repeat(32));

    let long = json!({"sub": "ada", "exp": in_seconds(60), "pad": "x".repeat(8192)});
    let critical = JwtHeader {
        crit: Some(vec!["b64".into()]),
        ..JwtHeader::default()
    };
    for (token, expected) in [
        (good.clone(), "accepted"),
        (stranger.sign(&claims), "bad_signature"),
        (format!("{head}."), "bad_signature"),
        (format!("{head}.AAAA"), "bad_signature"),
        (format!("{head}.%%%"), "malformed"),
        (format!("{good}.x"), "malformed"),
        (head.to_owned(), "malformed"),
        (String::new(), "malformed"),
        ("..".into(), "malformed"),
        ("undefined".into(), "malformed"),
        (format!("!{signature}.a.b"), "malformed"),
        (unsigned(&json!({"alg": "none"}), &claims), "alg_none"),
        (unsigned(&json!({"alg": "nOnE"}), &claims), "alg_none"),
        (unsigned(&json!({"alg": "HS256"}), &claims), "bad_signature"),
        (
            unsigned(&json!({"alg": "PS256"}), &claims),
            "unsupported_algorithm",
        ),
        (
            unsigned(&json!({"alg": "hs256"}), &claims),
            "unsupported_algorithm",
        ),
        (unsigned(&json!({"alg": 7}), &claims), "malformed"),
        (unsigned(&json!({}), &claims), "malformed"),
        (unsigned(&json!([]), &claims), "malformed"),
        (signer.sign_with(&critical, &claims), "critical_header"),
        (signer.sign(&long), "too_long"),
        (signer.sign(&json!("ada")), "malformed"),
        (signer.sign(&json!({"sub": "ada"})), "no_expiry"),
        (signer.sign(&json!({"exp": in_seconds(60)})), "no_subject"),
        (
            signer.sign(&json!({"sub": "ada", "exp": in_seconds(-60)})),
            "expired",
        ),
    ] {
        let result = label(verifier.verify(&token, now()));
        assert_eq!(result, expected, "{token}");
        assert!(result == "accepted" || refusal::REASONS.contains(&result));
    }
}

#[tokio::test]
async fn time_is_the_callers() {
    let signer = Signer::hs256();
    let verifier = verifier(&[&signer]).await;
    let token = signer.sign(&json!({"sub": "ada", "exp": 1_000, "nbf": 500}));
    for (seconds, expected) in [
        (469, "not_yet_valid"),
        (470, "accepted"),
        (1_029, "accepted"),
        (1_030, "expired"),
    ] {
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        assert_eq!(label(verifier.verify(&token, at)), expected, "{seconds}");
    }
}

#[tokio::test]
async fn the_previous_key_stays_good_during_a_rotation() {
    let (old, new) = (
        Signer::hs256(),
        Signer::hmac(Algorithm::HS256, &"n".repeat(32)),
    );
    let verifier = verifier(&[&new, &old]).await;
    assert_eq!(label(verifier.verify(&old.token("ada"), now())), "accepted");
    assert_eq!(label(verifier.verify(&new.token("ada"), now())), "accepted");
}

#[tokio::test]
async fn a_key_with_a_kid_is_for_tokens_that_name_it() {
    let (a, b) = (Signer::es256("a"), Signer::es256("b"));
    let verifier = verifier(&[&a, &b]).await;
    let claims = json!({"sub": "ada", "exp": in_seconds(60)});
    let with = |kid: Option<&str>| {
        let mut header = JwtHeader::new(a.decoder());
        header.kid = kid.map(Into::into);
        a.sign_with(&header, &claims)
    };
    for (kid, expected) in [
        (Some("a"), "accepted"),
        (Some("b"), "bad_signature"),
        (Some("c"), "unknown_key"),
        (None, "unknown_key"),
    ] {
        assert_eq!(
            label(verifier.verify(&with(kid), now())),
            expected,
            "{kid:?}"
        );
    }
}

#[test]
fn no_token_panics_and_none_is_accepted() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let signer = Signer::hs256();
    let verifier = runtime.block_on(verifier(&[&signer]));
    let good = signer.token("ada");
    proptest!(|(token in "[A-Za-z0-9_.=-]{0,80}")| {
        prop_assert!(verifier.verify(&token, now()).is_err());
    });
    // Every change of one character breaks the token. The last one of a signature has bits that do not
    // count, and the decoder takes none but their canonical form.
    proptest!(|(at in 0..good.len(), with in "[A-Za-z0-9_-]")| {
        let mut changed = good.clone();
        changed.replace_range(at..=at, &with);
        prop_assert!(changed == good || verifier.verify(&changed, now()).is_err());
    });
}
