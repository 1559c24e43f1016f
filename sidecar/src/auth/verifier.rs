//! From a request's token to an identity.

use std::sync::Arc;
use std::time::SystemTime;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderMap;
use serde::Deserialize;
use serde_json::Value;

use super::claims::{Claims, Rules};
use super::keys::{self, VerifyingKey};
use super::remote::{Pace, Remote};
use super::{Denied, Error, Grants, Identity, Metrics, Refusal, jwks, refusal, token};
use crate::config::{self, AuthMode, Origins};
use crate::topic::Pattern;

/// Longest token (wse-protocol 2).
pub(super) const TOKEN_BYTES: usize = 8192;

/// Verifies tokens by one configuration.
#[derive(Debug)]
pub struct Verifier {
    mode: AuthMode,
    /// The cookie that is looked at. None: cookies do not authenticate.
    cookie: Option<String>,
    keys: Vec<VerifyingKey>,
    remote: Option<Arc<Remote>>,
    rules: Rules,
    default_grants: Arc<Grants>,
    nothing: Arc<Grants>,
    anonymous: Arc<str>,
    metrics: Arc<Metrics>,
}

impl Verifier {
    /// Reads the key files and, when a JWKS URL is configured, fetches the set once. A set that cannot
    /// be fetched is no error: it is tried again every ten seconds, and [`Verifier::is_ready`] says
    /// whether there is one. On a reload `previous` hands on the set that it has from the same URL.
    ///
    /// # Errors
    /// When a file cannot be read or used, naming it, or the configuration contradicts itself.
    pub async fn load(
        config: &config::Auth,
        previous: Option<&Self>,
        metrics: Arc<Metrics>,
    ) -> Result<Self, Error> {
        let mut keys = Vec::new();
        let mut remote = None;
        if config.mode == AuthMode::Jwt {
            for key in &config.keys {
                keys.push(VerifyingKey::read(key)?);
            }
            if let Some(path) = config.jwks.as_ref().and_then(|jwks| jwks.file.as_ref()) {
                let set = jwks::parse(&keys::read_file(path)?);
                keys.extend(set.map_err(|reason| Error::Key {
                    path: path.clone(),
                    reason,
                })?);
            }
            remote = start_remote(config, previous, &metrics)?;
            if keys.is_empty() && remote.is_none() {
                return Err(Error::NoKeys);
            }
        }
        let default_grants = Arc::new(Grants::new(default_topics(config)?, Vec::new()));
        if let Some(remote) = &remote {
            remote.tried().await;
        }
        Ok(Self {
            mode: config.mode,
            // Any page could open a session with its visitor's cookie.
            cookie: (config.allowed_origins != Origins::Any).then(|| config.cookie.clone()),
            keys,
            remote,
            rules: Rules {
                issuers: config.issuers.clone(),
                audiences: config.audiences.clone(),
                leeway_seconds: config.leeway_seconds,
            },
            default_grants,
            nothing: Arc::default(),
            anonymous: "anonymous".into(),
            metrics,
        })
    }

    /// Whether there is a key at all. A pod without one should not be ready: it would have to send every
    /// client away.
    pub fn is_ready(&self) -> bool {
        self.mode == AuthMode::None
            || !self.keys.is_empty()
            || self.remote.as_ref().is_some_and(|remote| remote.is_known())
    }

    /// Finds the request's token and verifies it.
    ///
    /// A token whose key is unknown waits, once, while the key set is fetched again, at most five
    /// seconds and at most every ten: after 4401 the published clients do not come back, so the first
    /// client after a key rotation must not be refused.
    ///
    /// # Errors
    /// [`Denied::Refused`] is final. [`Denied::KeysUnavailable`] says nothing about the token: the client
    /// is to come back.
    pub async fn authenticate(
        &self,
        headers: &HeaderMap,
        now: SystemTime,
    ) -> Result<Identity, Denied> {
        let result = self.decide(headers, now).await;
        match result {
            Ok(_) => {}
            Err(Denied::KeysUnavailable) => self.metrics.keys_unavailable.inc(),
            Err(Denied::Refused(refusal)) => {
                let label = refusal.reason();
                tracing::debug!(reason = label, "client refused");
                self.metrics.refusals.with_label_values(&[label]).inc();
            }
        }
        result
    }

    /// Verifies a token by the keys that are here now, and counts nothing but malformed grants.
    ///
    /// # Errors
    /// Why it is not valid, by a label.
    pub fn verify(&self, token: &str, now: SystemTime) -> Result<Identity, Refusal> {
        self.judge(token, now)
            .map_err(|failure| Refusal::Failed(failure.label))
    }

    fn judge(&self, token: &str, now: SystemTime) -> Result<Identity, Failure<'_>> {
        let claims = self.claims(token)?;
        let subject = self.rules.check(&claims, now)?;
        Ok(Identity {
            user: subject.user.into(),
            grants: self.grants(claims.get("wse_topics")),
            expires_at: Some(subject.expires_at),
        })
    }

    async fn decide(&self, headers: &HeaderMap, now: SystemTime) -> Result<Identity, Denied> {
        if self.mode == AuthMode::None {
            return Ok(Identity {
                user: self.anonymous.clone(),
                grants: self.default_grants.clone(),
                expires_at: None,
            });
        }
        let token = token::find(headers, self.cookie.as_deref()).ok_or(Refusal::Required)?;
        match self.judge(token, now) {
            Ok(identity) => Ok(identity),
            Err(Failure {
                waits_for: Some(remote),
                ..
            }) => {
                if !remote.freshen().await {
                    return Err(Denied::KeysUnavailable);
                }
                Ok(self.verify(token, now)?)
            }
            Err(failure) => Err(Refusal::Failed(failure.label).into()),
        }
    }

    /// Verifies the signature by every key that the token may mean.
    fn claims(&self, token: &str) -> Result<Claims, Failure<'_>> {
        if token.len() > TOKEN_BYTES {
            return Err(refusal::TOO_LONG.into());
        }
        let header = Header::read(token).ok_or(refusal::MALFORMED)?;
        if header.alg.eq_ignore_ascii_case("none") {
            return Err(refusal::ALG_NONE.into());
        }
        if header.crit.is_some() {
            return Err(refusal::CRITICAL_HEADER.into());
        }
        let algorithm =
            keys::algorithm_by_name(&header.alg).ok_or(refusal::UNSUPPORTED_ALGORITHM)?;

        let kid = header.kid.as_deref();
        let mut label = refusal::UNKNOWN_KEY;
        let mut attempt = |key: &VerifyingKey| {
            if !key.is_meant_by(kid) {
                return None;
            }
            if key.algorithm != algorithm {
                if label == refusal::UNKNOWN_KEY {
                    label = refusal::WRONG_ALGORITHM;
                }
                return None;
            }
            key.verify(token).map_err(|failed| label = failed).ok()
        };
        if let Some(claims) = self.keys.iter().find_map(&mut attempt) {
            return Ok(claims);
        }
        let Some(remote) = &self.remote else {
            return Err(label.into());
        };
        let fetched = remote.keys();
        if let Some(claims) = fetched.iter().find_map(&mut attempt) {
            return Ok(claims);
        }
        let named = kid.is_some() && fetched.iter().any(|key| key.kid.as_deref() == kid);
        let may_be_newer = !remote.is_known() || (kid.is_some() && !named);
        Err(Failure {
            label,
            waits_for: (may_be_newer && jwks::has(algorithm)).then_some(remote),
        })
    }

    fn grants(&self, claim: Option<&Value>) -> Arc<Grants> {
        let Some(claim) = claim else {
            return self.default_grants.clone();
        };
        match Grants::from_claim(claim) {
            Some(grants) => Arc::new(grants),
            None => {
                tracing::debug!("a token's wse_topics claim is malformed and grants nothing");
                self.metrics.malformed_grants.inc();
                self.nothing.clone()
            }
        }
    }
}

/// Why a token was not accepted.
struct Failure<'a> {
    /// A label of [`refusal`].
    label: &'static str,
    /// The published set may have the token's key by now.
    waits_for: Option<&'a Arc<Remote>>,
}

impl From<&'static str> for Failure<'_> {
    fn from(label: &'static str) -> Self {
        Self {
            label,
            waits_for: None,
        }
    }
}

/// What is read of a token's header before a key is chosen (RFC 7515 section 4.1). The decoder reads it
/// again, and decides.
#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    crit: Option<Value>,
}

impl Header {
    fn read(token: &str) -> Option<Self> {
        let mut parts = token.split('.');
        let (header, _, _) = (parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some() {
            return None;
        }
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).ok()?).ok()
    }
}

fn start_remote(
    config: &config::Auth,
    previous: Option<&Verifier>,
    metrics: &Arc<Metrics>,
) -> Result<Option<Arc<Remote>>, Error> {
    let Some(jwks) = &config.jwks else {
        return Ok(None);
    };
    let Some(url) = &jwks.url else {
        return Ok(None);
    };
    let pace = Pace::every(jwks.refresh_seconds);
    let running = previous.and_then(|verifier| verifier.remote.as_ref());
    match running.filter(|remote| remote.is_from(url)) {
        Some(remote) => Ok(Some(remote.at(pace))),
        None => Remote::start(url, pace, metrics.clone()).map(Some),
    }
}

fn default_topics(config: &config::Auth) -> Result<Vec<Pattern>, Error> {
    let parse = |pattern: &String| {
        Pattern::parse(pattern, usize::MAX).map_err(|source| Error::DefaultTopic {
            pattern: pattern.clone(),
            source,
        })
    };
    config.default_topics.iter().map(parse).collect()
}

#[cfg(test)]
mod tests;
