//! What a verified token's claims must say (RFC 7519 section 4.1).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value};

use super::refusal;

/// A token's claims set. A registered name that comes twice is refused by the decoder; of any other the
/// last value counts. RFC 7519 section 4 allows both.
pub(super) type Claims = Map<String, Value>;

/// The end of the year 9999 in seconds since 1970. A later `exp` means never, and this still fits
/// every clock.
const NEVER_SECONDS: f64 = 253_402_300_799.0;

/// What is asked of the registered claims.
#[derive(Clone, Debug, Default)]
pub(super) struct Rules {
    pub issuers: Vec<String>,
    pub audiences: Vec<String>,
    pub leeway_seconds: u64,
}

/// What the registered claims say.
#[derive(Debug, PartialEq)]
pub(super) struct Subject<'a> {
    pub user: &'a str,
    /// `exp` and the leeway.
    pub expires_at: SystemTime,
}

impl Rules {
    /// Checks the claims; the error is a label of [`refusal`].
    pub(super) fn check<'a>(
        &self,
        claims: &'a Claims,
        now: SystemTime,
    ) -> Result<Subject<'a>, &'static str> {
        let leeway = self.leeway_seconds as f64;
        let now = now
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_secs_f64();

        let end = date(claims, "exp")?.ok_or(refusal::NO_EXPIRY)? + leeway;
        if now >= end {
            return Err(refusal::EXPIRED);
        }
        if date(claims, "nbf")?.is_some_and(|begin| begin > now + leeway) {
            return Err(refusal::NOT_YET_VALID);
        }
        if !self.issuers.is_empty() && !is_one_of(claims.get("iss"), &self.issuers) {
            return Err(refusal::WRONG_ISSUER);
        }
        if !self.audiences.is_empty() && !names_one_of(claims.get("aud"), &self.audiences) {
            return Err(refusal::WRONG_AUDIENCE);
        }
        let user = match claims.get("sub") {
            None => return Err(refusal::NO_SUBJECT),
            Some(Value::String(user)) if user.is_empty() => return Err(refusal::NO_SUBJECT),
            Some(Value::String(user)) => user,
            Some(_) => return Err(refusal::MALFORMED_CLAIM),
        };
        // `end` is positive: it is later than `now`, which is not before 1970.
        let end = Duration::from_secs_f64(end.min(NEVER_SECONDS));
        Ok(Subject {
            user,
            expires_at: UNIX_EPOCH + end,
        })
    }
}

/// A NumericDate: seconds since 1970, fractions allowed (RFC 7519 section 2).
fn date(claims: &Claims, name: &str) -> Result<Option<f64>, &'static str> {
    claims
        .get(name)
        .map(|value| value.as_f64().ok_or(refusal::MALFORMED_CLAIM))
        .transpose()
}

fn is_one_of(claim: Option<&Value>, accepted: &[String]) -> bool {
    claim
        .and_then(Value::as_str)
        .is_some_and(|text| accepted.iter().any(|one| one == text))
}

/// `aud` is a string or a list of strings (RFC 7519 section 4.1.3).
fn names_one_of(claim: Option<&Value>, accepted: &[String]) -> bool {
    match claim {
        Some(Value::Array(all)) => all.iter().any(|one| is_one_of(Some(one), accepted)),
        one => is_one_of(one, accepted),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const NOW: u64 = 1_800_000_000;

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn check(rules: &Rules, claims: &Value) -> Result<(), &'static str> {
        let claims = claims.as_object().unwrap();
        rules.check(claims, at(NOW)).map(|_| ())
    }

    #[test]
    fn each_claim_is_refused_by_a_label_of_its_own() {
        let rules = Rules {
            issuers: vec!["idp".into(), "old-idp".into()],
            audiences: vec!["chat".into()],
            leeway_seconds: 30,
        };
        let good = json!({"sub": "ada", "exp": NOW + 60, "iss": "idp", "aud": "chat"});
        for (name, value, expected) in [
            ("nothing", json!(0), Ok(())),
            ("iss", json!("old-idp"), Ok(())),
            ("aud", json!(["other", "chat"]), Ok(())),
            ("exp", json!(1e300), Ok(())),
            ("exp", json!(NOW as f64 + 0.5), Ok(())),
            ("exp", json!(NOW - 29), Ok(())),
            ("exp", json!(NOW - 30), Err(refusal::EXPIRED)),
            ("exp", json!(-5), Err(refusal::EXPIRED)),
            ("exp", json!("1800000060"), Err(refusal::MALFORMED_CLAIM)),
            ("exp", json!(null), Err(refusal::MALFORMED_CLAIM)),
            ("nbf", json!(NOW + 30), Ok(())),
            ("nbf", json!(NOW + 31), Err(refusal::NOT_YET_VALID)),
            ("nbf", json!([]), Err(refusal::MALFORMED_CLAIM)),
            ("iss", json!("evil"), Err(refusal::WRONG_ISSUER)),
            ("iss", json!(["idp"]), Err(refusal::WRONG_ISSUER)),
            ("aud", json!("other"), Err(refusal::WRONG_AUDIENCE)),
            ("aud", json!([]), Err(refusal::WRONG_AUDIENCE)),
            ("aud", json!({"chat": 1}), Err(refusal::WRONG_AUDIENCE)),
            ("sub", json!(""), Err(refusal::NO_SUBJECT)),
            ("sub", json!(7), Err(refusal::MALFORMED_CLAIM)),
        ] {
            let mut claims = good.clone();
            claims[name] = value.clone();
            assert_eq!(check(&rules, &claims), expected, "{name} {value}");
        }
        for (name, expected) in [
            ("exp", refusal::NO_EXPIRY),
            ("iss", refusal::WRONG_ISSUER),
            ("aud", refusal::WRONG_AUDIENCE),
            ("sub", refusal::NO_SUBJECT),
        ] {
            let mut claims = good.clone();
            claims.as_object_mut().unwrap().remove(name);
            assert_eq!(check(&rules, &claims), Err(expected), "without {name}");
        }
    }

    #[test]
    fn issuer_and_audience_are_free_unless_configured() {
        let claims = json!({"sub": "ada", "exp": NOW + 60, "iss": 7, "aud": "any"});
        assert_eq!(check(&Rules::default(), &claims), Ok(()));
    }

    #[test]
    fn the_session_ends_a_leeway_after_the_token() {
        let rules = Rules {
            leeway_seconds: 30,
            ..Rules::default()
        };
        let claims = json!({"sub": "ada", "exp": NOW - 10});
        let subject = rules.check(claims.as_object().unwrap(), at(NOW)).unwrap();
        assert_eq!(subject.expires_at, at(NOW + 20));
    }

    proptest! {
        #[test]
        fn who_is_let_in_expires_later(exp in any::<f64>(), now in 0..u64::from(u32::MAX), leeway in 0..1000u64) {
            let rules = Rules { leeway_seconds: leeway, ..Rules::default() };
            let claims = json!({"sub": "ada", "exp": exp});
            if let Ok(subject) = rules.check(claims.as_object().unwrap(), at(now)) {
                prop_assert!(subject.expires_at > at(now));
            }
        }
    }
}
