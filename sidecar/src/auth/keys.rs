//! Keys that verify signatures, each for one algorithm. The cryptography is jsonwebtoken's on
//! aws-lc-rs; what is ours is which key is tried for which token, and that a key is checked when it is
//! loaded, not when the first client comes.

use std::fs;
use std::path::Path;

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RsaParameters,
    RsaPublicKeyComponents,
};
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{DecodingKey, DecodingKeyKind, Validation, decode};

use super::claims::Claims;
use super::{Error, refusal};
use crate::config::{self, Algorithm};

/// Shortest shared secret: as long as the hash of HS256 (RFC 7518 section 3.2).
const SECRET_BYTES: usize = 32;

/// One key.
#[derive(Debug)]
pub(super) struct VerifyingKey {
    pub algorithm: Algorithm,
    /// The `kid` that a token must carry for this key to be tried. None: tried for every token.
    pub kid: Option<String>,
    key: DecodingKey,
    validation: Validation,
}

impl VerifyingKey {
    /// Reads a configured key file.
    ///
    /// # Errors
    /// Names the file, and what is wrong with it.
    pub(super) fn read(config: &config::Key) -> Result<Self, Error> {
        let invalid = |reason: String| Error::Key {
            path: config.file.clone(),
            reason,
        };
        let bytes = read_file(&config.file)?;
        let key = match config.algorithm {
            Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512 => secret(&bytes),
            _ => public_key(&bytes, config.algorithm),
        };
        Self::new(config.algorithm, config.kid.clone(), key.map_err(invalid)?).map_err(invalid)
    }

    /// Takes a key whose bytes come from elsewhere.
    ///
    /// # Errors
    /// A message for people when the key is not one for the algorithm.
    pub(super) fn new(
        algorithm: Algorithm,
        kid: Option<String>,
        key: DecodingKey,
    ) -> Result<Self, String> {
        check(algorithm, &key)?;
        let mut validation = Validation::new(decoder(algorithm));
        // Claims are checked by `Rules`, against the caller's clock and with a label for each.
        validation.required_spec_claims.clear();
        validation.validate_exp = false;
        validation.validate_nbf = false;
        validation.validate_aud = false;
        Ok(Self {
            algorithm,
            kid,
            key,
            validation,
        })
    }

    /// Whether a token with this `kid` is tried with this key.
    pub(super) fn is_meant_by(&self, kid: Option<&str>) -> bool {
        match &self.kid {
            None => true,
            own => own.as_deref() == kid,
        }
    }

    /// Verifies the signature and reads the claims; the error is a label of [`refusal`].
    pub(super) fn verify(&self, token: &str) -> Result<Claims, &'static str> {
        match decode(token, &self.key, &self.validation) {
            Ok(data) => Ok(data.claims),
            Err(error) => Err(match error.kind() {
                ErrorKind::InvalidAlgorithm => refusal::WRONG_ALGORITHM,
                ErrorKind::Base64(_) | ErrorKind::InvalidToken | ErrorKind::Json(_) => {
                    refusal::MALFORMED
                }
                _ => refusal::BAD_SIGNATURE,
            }),
        }
    }
}

/// Reads a whole key file.
pub(super) fn read_file(path: &Path) -> Result<Vec<u8>, Error> {
    fs::read(path).map_err(|source| Error::Read {
        path: path.to_owned(),
        source,
    })
}

/// The algorithm by its name in a token's header.
pub(super) fn algorithm_by_name(name: &str) -> Option<Algorithm> {
    Some(match name {
        "ES256" => Algorithm::ES256,
        "EdDSA" => Algorithm::EdDSA,
        "HS256" => Algorithm::HS256,
        "HS384" => Algorithm::HS384,
        "HS512" => Algorithm::HS512,
        "RS256" => Algorithm::RS256,
        _ => return None,
    })
}

fn decoder(algorithm: Algorithm) -> jsonwebtoken::Algorithm {
    match algorithm {
        Algorithm::ES256 => jsonwebtoken::Algorithm::ES256,
        Algorithm::EdDSA => jsonwebtoken::Algorithm::EdDSA,
        Algorithm::HS256 => jsonwebtoken::Algorithm::HS256,
        Algorithm::HS384 => jsonwebtoken::Algorithm::HS384,
        Algorithm::HS512 => jsonwebtoken::Algorithm::HS512,
        Algorithm::RS256 => jsonwebtoken::Algorithm::RS256,
    }
}

/// A secret written by an editor or `echo` ends in a line break that the token's issuer never meant;
/// in a binary secret every byte counts.
fn secret(bytes: &[u8]) -> Result<DecodingKey, String> {
    let secret = match str::from_utf8(bytes) {
        Ok(text) => text.trim_end_matches(['\r', '\n']).as_bytes(),
        Err(_) => bytes,
    };
    if secret.len() < SECRET_BYTES {
        return Err(format!(
            "the secret has {} bytes; at least {SECRET_BYTES} are needed",
            secret.len()
        ));
    }
    Ok(DecodingKey::from_secret(secret))
}

fn public_key(pem: &[u8], algorithm: Algorithm) -> Result<DecodingKey, String> {
    if memchr::memmem::find(pem, b"PRIVATE KEY-----").is_some() {
        return Err("holds a private key; the gateway needs only the public one".into());
    }
    let key = match algorithm {
        Algorithm::ES256 => DecodingKey::from_ec_pem(pem),
        Algorithm::EdDSA => DecodingKey::from_ed_pem(pem),
        _ => DecodingKey::from_rsa_pem(pem),
    };
    key.map_err(|_| format!("is no public key in PEM for {algorithm:?}"))
}

/// Whether the key is one that the algorithm can use: the decoder itself would take any bytes and
/// fail at every token.
fn check(algorithm: Algorithm, key: &DecodingKey) -> Result<(), String> {
    let rejected = || format!("is no valid public key for {algorithm:?}");
    match (algorithm, key.kind()) {
        (Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512, _) => Ok(()),
        (Algorithm::ES256, DecodingKeyKind::SecretOrDer(point)) => {
            ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point)
                .map(|_| ())
                .map_err(|_| rejected())
        }
        (Algorithm::EdDSA, DecodingKeyKind::SecretOrDer(point)) => {
            ParsedPublicKey::new(&ED25519, point)
                .map(|_| ())
                .map_err(|_| rejected())
        }
        (Algorithm::RS256, DecodingKeyKind::SecretOrDer(der)) => {
            ParsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, der).map_err(|_| rejected())?;
            let bits = RsaParameters::public_modulus_len(der).map_err(|_| rejected())?;
            check_size(bits as usize)
        }
        (Algorithm::RS256, DecodingKeyKind::RsaModulusExponent { n, e }) => {
            let bits = n.iter().skip_while(|&&byte| byte == 0).count() * 8;
            check_size(bits)?;
            RsaPublicKeyComponents { n, e }
                .to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256)
                .map(|_| ())
                .map_err(|_| rejected())
        }
        (_, DecodingKeyKind::RsaModulusExponent { .. }) => Err(rejected()),
    }
}

/// The sizes that the verification algorithm takes.
fn check_size(bits: usize) -> Result<(), String> {
    if (2048..=8192).contains(&bits) {
        Ok(())
    } else {
        Err(format!(
            "is an RSA key of {bits} bits; 2048 to 8192 are accepted"
        ))
    }
}
