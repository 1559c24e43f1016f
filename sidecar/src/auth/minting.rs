//! Keys and tokens for tests. Every key is made when the tests run.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::{SystemTime, UNIX_EPOCH};
use std::{env, fs};

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RsaKeyPair,
};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{EncodingKey, Header};
use serde_json::{Value, json};

use crate::config::{self, Algorithm};

/// An RSA key takes a moment to make: one is enough.
static RSA: LazyLock<RsaKeyPair> =
    LazyLock::new(|| RsaKeyPair::generate(KeySize::Rsa2048).unwrap());

/// Signs tokens.
pub(crate) struct Signer {
    pub(crate) algorithm: Algorithm,
    pub(crate) kid: Option<String>,
    encoding: EncodingKey,
    /// What a key file holds.
    file: Vec<u8>,
}

impl Signer {
    /// A shared secret, the same for every call with the same `secret`.
    pub(crate) fn hmac(algorithm: Algorithm, secret: &str) -> Self {
        Self {
            algorithm,
            kid: None,
            encoding: EncodingKey::from_secret(secret.as_bytes()),
            file: secret.into(),
        }
    }

    pub(crate) fn hs256() -> Self {
        Self::hmac(Algorithm::HS256, "a secret that has forty bytes, exactly..")
    }

    pub(crate) fn es256(kid: &str) -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let private = pair.to_pkcs8v1().unwrap();
        Self {
            algorithm: Algorithm::ES256,
            kid: Some(kid.into()),
            encoding: EncodingKey::from_ec_der(private.as_ref()),
            file: pem("PUBLIC KEY", pair.public_key().as_der().unwrap().as_ref()),
        }
    }

    pub(crate) fn eddsa(kid: &str) -> Self {
        let pair = Ed25519KeyPair::generate().unwrap();
        let private = pair.to_pkcs8v1().unwrap();
        Self {
            algorithm: Algorithm::EdDSA,
            kid: Some(kid.into()),
            encoding: EncodingKey::from_ed_der(private.as_ref()),
            file: pem("PUBLIC KEY", pair.public_key().as_der().unwrap().as_ref()),
        }
    }

    pub(crate) fn rs256(kid: &str) -> Self {
        let private: Pkcs8V1Der<'_> = RSA.as_der().unwrap();
        Self {
            algorithm: Algorithm::RS256,
            kid: Some(kid.into()),
            encoding: EncodingKey::from_rsa_pem(&pem("PRIVATE KEY", private.as_ref())).unwrap(),
            file: pem("PUBLIC KEY", RSA.public_key().as_der().unwrap().as_ref()),
        }
    }

    /// The public key as an entry of a JWK Set.
    pub(crate) fn jwk(&self) -> Value {
        let jwk = Jwk::from_encoding_key(&self.encoding, self.decoder()).unwrap();
        let mut jwk = serde_json::to_value(jwk).unwrap();
        jwk["kid"] = json!(self.kid);
        jwk
    }

    /// Signs claims as they are.
    pub(crate) fn sign(&self, claims: &Value) -> String {
        let mut header = Header::new(self.decoder());
        header.kid.clone_from(&self.kid);
        self.sign_with(&header, claims)
    }

    /// Signs claims under another header.
    pub(crate) fn sign_with(&self, header: &Header, claims: &Value) -> String {
        jsonwebtoken::encode(header, claims, &self.encoding).unwrap()
    }

    /// A token for an hour from now.
    pub(crate) fn token(&self, user: &str) -> String {
        self.sign(&json!({"sub": user, "exp": in_seconds(3600)}))
    }

    /// Writes the key file and returns the configuration that names it.
    pub(crate) fn key(&self, scratch: &Scratch) -> config::Key {
        config::Key {
            algorithm: self.algorithm,
            file: scratch.write(&self.file),
            kid: self.kid.clone(),
        }
    }

    pub(crate) fn decoder(&self) -> jsonwebtoken::Algorithm {
        format!("{:?}", self.algorithm).parse().unwrap()
    }
}

/// A token that nobody signed, with any header.
pub(crate) fn unsigned(header: &Value, claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.", part(header), part(claims))
}

/// A NumericDate that many seconds from now.
pub(crate) fn in_seconds(seconds: i64) -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    now.as_secs() as i64 + seconds
}

/// A folder that goes away with the test.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new() -> Self {
        let folder = env::temp_dir().join(format!("wse-{}", uuid::Uuid::now_v7()));
        fs::create_dir(&folder).unwrap();
        Self(folder)
    }

    /// Writes a file of a new name.
    pub(crate) fn write(&self, content: &[u8]) -> PathBuf {
        let path = self.0.join(uuid::Uuid::now_v7().to_string());
        fs::write(&path, content).unwrap();
        path
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

pub(crate) fn pem(label: &str, der: &[u8]) -> Vec<u8> {
    let body = STANDARD.encode(der);
    let lines: Vec<_> = body
        .as_bytes()
        .chunks(64)
        .map(|line| str::from_utf8(line).unwrap())
        .collect();
    format!(
        "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
        lines.join("\n")
    )
    .into_bytes()
}
